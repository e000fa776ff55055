//! Realm, user, password and nonce key that are made on first start and kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use raceway_config::Secret;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::account::Account;

/// Characters of a generated password: no two look alike. 24 of 57 hold 139 bits.
const ALPHABET: &[u8; 57] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const PASSWORD_LENGTH: usize = 24;

/// Octets of the file that are read; it has about 400.
const FILE_MAX: u64 = 16 << 10;

/// Name of the generated user.
const USER: &str = "raceway";

/// What `credentials.toml` holds.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Used when the configuration names no realm.
    pub realm: String,
    /// Used when the configuration names neither users nor shared secrets.
    pub user: String,
    /// Password of that user.
    pub password: Secret,
    /// Makes nonces, with [`boot_id`]; the same over restarts, so that clients' nonces hold.
    pub nonce_key: Zeroizing<[u8; 32]>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not readable or writable.
    #[error("{path}: {error}; {}", remedy(error))]
    File {
        /// Of the file.
        path: PathBuf,
        /// By the system.
        error: io::Error,
    },
    /// Written by another hand.
    #[error("{path}: damaged ({what}); remove it to have new credentials made")]
    Damaged {
        /// Of the file.
        path: PathBuf,
        /// What is wrong, without its content.
        what: &'static str,
    },
    /// The kernel has no randomness.
    #[error("no random numbers from the kernel: {0}")]
    Random(getrandom::Error),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    realm: String,
    user: String,
    password: String,
    nonce_key: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.password.zeroize();
        self.nonce_key.zeroize();
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there, or name a directory with some as state_dir in [node]"
        }
        _ => "the account that raceway-control runs as must be able to read and write it",
    }
}

impl Credentials {
    /// What stands for credentials while a configuration is only being checked.
    #[must_use]
    pub fn placeholder() -> Self {
        Self {
            realm: realm(),
            user: USER.to_owned(),
            password: Secret::new("placeholder".to_owned()),
            nonce_key: Zeroizing::new([0; 32]),
        }
    }
}

/// What names the present boot of the machine. Where the kernel does not tell, a random name: then nonces end with
/// this process, which costs clients a round trip, and do not come to life again at the same uptime.
#[must_use]
pub fn boot_id() -> Vec<u8> {
    let random = || {
        let mut octets = vec![0; 16];
        getrandom::fill(&mut octets).expect("the kernel has random numbers once it has booted");
        octets
    };
    fs::read("/proc/sys/kernel/random/boot_id").ok().filter(|id| !id.is_empty()).unwrap_or_else(random)
}

/// Reads the file, or makes it (mode 0600); it belongs to `account` afterwards if there is one.
///
/// # Errors
/// [`CredentialsError`].
pub fn load_or_make(path: &Path, account: Option<&Account>) -> Result<Credentials, CredentialsError> {
    let file_error = |error| CredentialsError::File { path: path.to_owned(), error };
    match read(path, account) {
        Ok(text) => load(path, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let stored = make()?;
            write(path, &stored, account).map_err(file_error)?;
            from_stored(path, &stored)
        }
        Err(error) => Err(file_error(error)),
    }
}

/// Never by way of a link: who owns the directory could have root give them another file. Nor waiting for the other end
/// of a pipe that they put there.
fn read(path: &Path, account: Option<&Account>) -> io::Result<Zeroizing<String>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut text = Zeroizing::new(String::with_capacity(1 << 10));
    (&mut file).take(FILE_MAX).read_to_string(&mut text)?;
    let metadata = file.metadata()?;
    if let Some(account) = account.filter(|account| metadata.uid() != account.uid.as_raw()) {
        if !metadata.is_file() || metadata.nlink() > 1 {
            return Err(io::Error::other("not a file of its own"));
        }
        fchown(&file, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
    }
    Ok(text)
}

fn load(path: &Path, text: &str) -> Result<Credentials, CredentialsError> {
    let damaged = |what| CredentialsError::Damaged { path: path.to_owned(), what };
    let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0);
    if open {
        tracing::warn!(path = %path.display(), "credentials can be read by everybody; chmod 600 this file");
    }
    let stored: Stored = toml::from_str(text).map_err(|_| damaged("not the four keys that belong there"))?;
    from_stored(path, &stored)
}

fn from_stored(path: &Path, stored: &Stored) -> Result<Credentials, CredentialsError> {
    let damaged = |what| CredentialsError::Damaged { path: path.to_owned(), what };
    if [&stored.realm, &stored.user, &stored.password].into_iter().any(String::is_empty) {
        return Err(damaged("an empty value"));
    }
    let nonce_key = from_hex(&stored.nonce_key).ok_or_else(|| damaged("nonce_key is not 64 hexadecimal digits"))?;
    Ok(Credentials {
        realm: stored.realm.clone(),
        user: stored.user.clone(),
        password: Secret::new(stored.password.clone()),
        nonce_key,
    })
}

fn make() -> Result<Stored, CredentialsError> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).map_err(CredentialsError::Random)?;
    Ok(Stored {
        realm: realm(),
        user: USER.to_owned(),
        password: password()?,
        nonce_key: key.iter().map(|octet| format!("{octet:02x}")).collect(),
    })
}

/// The machine's name, if it can be a realm.
fn realm() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let fits =
        !name.is_empty() && name.len() < 64 && name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-".contains(&c));
    if fits && name != "localhost" { name.to_owned() } else { "raceway".to_owned() }
}

fn password() -> Result<String, CredentialsError> {
    let mut password = String::with_capacity(PASSWORD_LENGTH);
    let mut octets = Zeroizing::new([0; 64]);
    while password.len() < PASSWORD_LENGTH {
        getrandom::fill(&mut octets[..]).map_err(CredentialsError::Random)?;
        // Octets beyond the last whole multiple of the alphabet would favour its first characters.
        let fair = octets.iter().filter(|octet| usize::from(**octet) < 256 / ALPHABET.len() * ALPHABET.len());
        let left = PASSWORD_LENGTH - password.len();
        password.extend(fair.take(left).map(|octet| ALPHABET[usize::from(*octet) % ALPHABET.len()] as char));
    }
    Ok(password)
}

/// Writes beside the place and moves it there, so that a crash leaves no half of it; nor does a full disk.
fn write(path: &Path, stored: &Stored, account: Option<&Account>) -> io::Result<()> {
    let text = Zeroizing::new(format!(
        "# Made by raceway-control on its first start. Used when the configuration names no realm, no users and no\n\
         # shared secrets. Remove this file to have new ones made; keep it, and clients stay valid over restarts.\n{}",
        toml::to_string(stored).map_err(io::Error::other)?
    ));
    let beside = path.with_extension("toml.new");
    let _ = fs::remove_file(&beside);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let own = |file: &File| match account {
        Some(account) => fchown(file, Some(account.uid.as_raw()), Some(account.gid.as_raw())),
        None => Ok(()),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| own(&file)).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_once_is_read_back() {
        let directory = crate::testing::Directory::new("credentials");
        let path = directory.path().join("credentials.toml");
        let made = load_or_make(&path, None).expect("a writable directory");
        let read = load_or_make(&path, None).expect("was just written");
        assert_eq!(made.password.expose(), read.password.expose());
        assert_eq!(made.nonce_key, read.nonce_key);
        assert_eq!(made.realm, read.realm);
        assert_eq!(made.password.expose().len(), PASSWORD_LENGTH);
        assert_eq!(fs::metadata(&path).expect("written").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_disk_is_called_that_and_leaves_no_half_of_a_file() {
        let full = CredentialsError::File { path: "c".into(), error: io::ErrorKind::StorageFull.into() };
        assert!(full.to_string().contains("make room"), "{full}");
        let directory = crate::testing::Directory::new("full");
        let path = directory.path().join("credentials.toml");
        fs::create_dir(&path).expect("in the way of the rename");
        let account = nix::unistd::geteuid().as_raw();
        let account = Account { name: None, uid: account.into(), gid: nix::unistd::getegid() };
        write(&path, &make().expect("random"), Some(&account)).expect_err("a directory is there");
        let names = fs::read_dir(directory.path()).expect("there").map(|entry| entry.expect("readable").file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["credentials.toml"]);
    }

    #[test]
    fn a_pipe_in_the_place_of_the_file_holds_nobody_up() {
        let directory = crate::testing::Directory::new("pipe");
        let path = directory.path().join("credentials.toml");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("an own directory");
        load_or_make(&path, None).expect_err("nothing in it");
    }

    #[test]
    fn a_damaged_file_is_refused_without_showing_it() {
        let directory = crate::testing::Directory::new("damaged");
        let path = directory.path().join("credentials.toml");
        fs::write(&path, "password = \"31337\"\n").expect("a writable directory");
        let error = load_or_make(&path, None).expect_err("keys are missing").to_string();
        assert!(error.contains("remove it") && !error.contains("31337"), "{error}");
    }

    #[test]
    fn the_file_follows_the_account_and_a_link_is_not_followed() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: giving a file away needs root");
            return;
        }
        let directory = crate::testing::Directory::new("follows");
        let path = directory.path().join("credentials.toml");
        let account = |id: u32| Account { name: None, uid: id.into(), gid: id.into() };
        for id in [61_200, 61_201] {
            load_or_make(&path, Some(&account(id))).expect("root may");
            assert_eq!(fs::metadata(&path).expect("made").uid(), id);
        }
        let elsewhere = directory.path().join("shadow");
        fs::rename(&path, &elsewhere).expect("root may");
        std::os::unix::fs::symlink(&elsewhere, &path).expect("root may");
        load_or_make(&path, Some(&account(61_202))).expect_err("a link");
        fs::remove_file(&path).expect("root may");
        fs::hard_link(&elsewhere, &path).expect("root may");
        load_or_make(&path, Some(&account(61_202))).expect_err("a file with another name");
        assert_eq!(fs::metadata(&elsewhere).expect("there").uid(), 61_201);
    }

    #[test]
    fn a_boot_has_one_name() {
        let id = boot_id();
        assert!(id.len() >= 16);
        assert_eq!(id, boot_id(), "here the kernel tells");
    }

    #[test]
    fn passwords_differ() {
        assert_ne!(password().expect("random"), password().expect("random"));
    }
}
