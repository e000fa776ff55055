//! Directories at run time, and what the process may know of its surroundings.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

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

/// Makes state and run directory where they are missing, for `account` if there is one. A state directory that is
/// already there keeps its owner: it may be somebody else's. The run directory must belong to the account, because
/// the relay takes commands from its owner; it is given to it only while nothing but sockets is in it.
///
/// # Errors
/// [`DirectoryError`].
pub fn make(paths: &Paths, account: Option<&Account>) -> Result<(), DirectoryError> {
    let wrong = |error| DirectoryError { path: paths.run_dir.clone(), key: "run_dir", error };
    // As the relay makes it: others pass through, and cannot open it to hold the relay's lock.
    make_one(&paths.run_dir, 0o711, account).map_err(wrong)?;
    if let Some(account) = account {
        hand_over(&paths.run_dir, account).map_err(wrong)?;
    }
    let wrong = |error| DirectoryError { path: paths.state_dir.clone(), key: "state_dir", error };
    make_one(&paths.state_dir, 0o700, account).map_err(wrong)
}

fn make_one(path: &Path, mode: u32, account: Option<&Account>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        // The relay makes the same run directory; one of us is first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    account.map_or(Ok(()), |account| chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw())))
}

fn hand_over(path: &Path, account: &Account) -> io::Result<()> {
    if fs::metadata(path)?.uid() == account.uid.as_raw() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_socket() {
            let name = entry.file_name();
            let what = format!("it holds {name:?} and is not the own directory of {}", account.name);
            return Err(io::Error::other(what));
        }
    }
    chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    #[test]
    fn a_run_directory_with_other_things_in_it_is_not_taken_over() {
        if surroundings().uid != 0 {
            eprintln!("skipped: giving a directory away needs root");
            return;
        }
        let directory = Directory::new("run");
        let account = super::super::account::choose(&raceway_config::Config::default().node);
        let account = account.expect("nobody exists").expect("root becomes somebody");
        let paths = Paths { state_dir: directory.path().join("state"), run_dir: directory.path().join("run") };
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
    }
}
