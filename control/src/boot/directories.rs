//! Directories at run time, and what the process may know of its surroundings.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, DirEntry, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};
use raceway_config::{Paths, Surroundings};

use super::account::Account;

/// What the environment says.
#[must_use]
pub fn surroundings() -> Surroundings {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    Surroundings {
        uid: nix::unistd::geteuid().as_raw(),
        home: path("HOME"),
        state_home: path("XDG_STATE_HOME"),
        runtime_dir: path("XDG_RUNTIME_DIR"),
    }
}

/// A directory that cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}; name a directory that raceway-control may have for itself as {key} in [node]")]
pub struct DirectoryError {
    path: PathBuf,
    key: &'static str,
    error: io::Error,
}

/// Mode of the run directory as both programs make it: others pass through, and cannot open it to hold the relay's
/// lock.
const RUN_MODE: u32 = 0o711;

/// Mode of the run directory that root gives to control's account. The group is root's: a relay that was started by
/// root, and has given up its rights since, can still remove its own socket, and only that (sticky).
const RUN_MODE_GIVEN: u32 = 0o1731;

const STATE_MODE: u32 = 0o700;

/// Makes state and run directory where they are missing, for `account` if there is one. What is there already is given
/// to the account only while nothing but ours is in it. The run directory must be the account's, because the relay takes
/// commands from its owner; the state directory may stay somebody else's, as it is not written to after the start.
///
/// # Errors
/// [`DirectoryError`].
pub fn make(paths: &Paths, account: Option<&Account>) -> Result<(), DirectoryError> {
    let wrong = |error| DirectoryError { path: paths.run_dir.clone(), key: "run_dir", error };
    make_one(&paths.run_dir, RUN_MODE).map_err(wrong)?;
    if let Some(account) = account {
        give_run_dir(&paths.run_dir, account).map_err(wrong)?;
    }
    let wrong = |error| DirectoryError { path: paths.state_dir.clone(), key: "state_dir", error };
    make_one(&paths.state_dir, STATE_MODE).map_err(wrong)?;
    match account {
        Some(account) if stranger(&paths.state_dir, is_credentials).map_err(wrong)?.is_none() => {
            chown(&paths.state_dir, Some(account.uid.as_raw()), Some(account.gid.as_raw())).map_err(wrong)
        }
        _ => Ok(()),
    }
}

/// Whether [`make`] would find or could make both, as far as that can be told without changing anything.
///
/// # Errors
/// [`DirectoryError`].
pub fn check(paths: &Paths) -> Result<(), DirectoryError> {
    for (path, key) in [(&paths.run_dir, "run_dir"), (&paths.state_dir, "state_dir")] {
        check_one(path).map_err(|error| DirectoryError { path: path.clone(), key, error })?;
    }
    Ok(())
}

/// The directory itself, or the nearest one above it that is there, is one and can be written to.
fn check_one(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(path);
    if !fs::metadata(there)?.is_dir() {
        return Err(io::Error::other(format!("{} is not a directory", there.display())));
    }
    let writable = eaccess(there, AccessFlags::W_OK | AccessFlags::X_OK);
    writable.map_err(|error| io::Error::other(format!("{} cannot be written to ({})", there.display(), error.desc())))
}

fn make_one(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        // The relay makes the same run directory; one of us is first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn give_run_dir(path: &Path, account: &Account) -> io::Result<()> {
    let is_given = fs::metadata(path)?.uid() == account.uid.as_raw();
    let is_socket = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
    if !is_given && let Some(name) = stranger(path, is_socket)? {
        return Err(io::Error::other(format!("it holds {name:?} and is not the own directory of {account}")));
    }
    chown(path, Some(account.uid.as_raw()), Some(nix::unistd::getegid().as_raw()))?;
    fs::set_permissions(path, Permissions::from_mode(RUN_MODE_GIVEN))
}

/// Something in a directory that is not ours.
fn stranger(path: &Path, is_ours: impl Fn(&DirEntry) -> bool) -> io::Result<Option<OsString>> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !is_ours(&entry) {
            return Ok(Some(entry.file_name()));
        }
    }
    Ok(None)
}

fn is_credentials(entry: &DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| name.starts_with("credentials.toml"))
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, Uid};

    use super::*;
    use crate::testing::Directory;

    #[test]
    fn a_run_directory_with_other_things_in_it_is_not_taken_over() {
        if surroundings().uid != 0 {
            eprintln!("skipped: giving a directory away needs root");
            return;
        }
        let directory = Directory::new("run");
        let paths = Paths { state_dir: directory.path().join("state"), run_dir: directory.path().join("run") };
        let account = super::super::account::choose(&raceway_config::Config::default().node, &paths.state_dir);
        let account = account.expect("thousands are free").expect("root becomes somebody");
        fs::create_dir(&paths.run_dir).expect("an own directory");
        fs::write(paths.run_dir.join("other"), "").expect("an own directory");
        let error = make(&paths, Some(&account)).expect_err("not ours").to_string();
        assert!(error.contains("it holds \"other\"") && error.ends_with("as run_dir in [node]"), "{error}");
        assert_eq!(fs::metadata(&paths.run_dir).expect("still there").uid(), 0);

        fs::remove_file(paths.run_dir.join("other")).expect("was just made");
        let _socket =
            std::os::unix::net::UnixListener::bind(paths.run_dir.join("relay.sock")).expect("an own directory");
        make(&paths, Some(&account)).expect("only sockets");
        for path in [&paths.run_dir, &paths.state_dir] {
            assert_eq!(fs::metadata(path).expect("made").uid(), account.uid.as_raw());
        }
        let run = fs::metadata(&paths.run_dir).expect("made");
        assert_eq!((run.gid(), run.mode() & 0o7777), (nix::unistd::getegid().as_raw(), 0o1731));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_found_before_anything_starts() {
        let directory = Directory::new("check");
        let here = directory.path();
        let paths = |state: &str| Paths { state_dir: here.join(state), run_dir: here.join("run") };
        check(&paths("state/of/ours")).expect("an own directory");
        assert_eq!(fs::read_dir(here).expect("an own directory").count(), 0, "nothing was made");

        fs::write(here.join("file"), "").expect("an own directory");
        for state in ["file", "file/state"] {
            let error = check(&paths(state)).expect_err("a file is in the way").to_string();
            assert!(error.contains("file is not a directory") && error.ends_with("as state_dir in [node]"), "{error}");
        }
        if surroundings().uid == 0 {
            eprintln!("skipped: root may write anywhere");
            return;
        }
        let error = check(&Paths { run_dir: "/raceway/run".into(), ..paths("state") }).expect_err("root's");
        assert!(error.to_string().contains("/ cannot be written to"), "{error}");
    }

    #[test]
    fn a_state_directory_follows_the_account_while_nothing_else_is_in_it() {
        if surroundings().uid != 0 {
            eprintln!("skipped: giving a directory away needs root");
            return;
        }
        let directory = Directory::new("state");
        let paths = Paths { state_dir: directory.path().join("state"), run_dir: directory.path().join("run") };
        let account = |id| Account { name: None, uid: Uid::from_raw(id), gid: Gid::from_raw(id) };
        let owner = || fs::metadata(&paths.state_dir).expect("made").uid();
        make(&paths, Some(&account(61_200))).expect("root may");
        assert_eq!(owner(), 61_200);
        fs::write(paths.state_dir.join("credentials.toml"), "").expect("root may");
        make(&paths, Some(&account(61_201))).expect("root may");
        assert_eq!(owner(), 61_201);
        fs::write(paths.state_dir.join("other"), "").expect("root may");
        make(&paths, Some(&account(61_202))).expect("it need not be ours");
        assert_eq!(owner(), 61_201);
    }
}
