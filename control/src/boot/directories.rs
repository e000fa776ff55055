//! Directories at run time, and what the process may know of its surroundings.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
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
#[error("{path}: {error}; name a directory that this account may write to as {key} in [node]")]
pub struct DirectoryError {
    path: PathBuf,
    key: &'static str,
    error: io::Error,
}

/// Makes state and run directory where they are missing, for `account` if there is one. A directory that is already
/// there keeps its owner: it may be somebody else's.
///
/// # Errors
/// [`DirectoryError`].
pub fn make(paths: &Paths, account: Option<&Account>) -> Result<(), DirectoryError> {
    make_one(&paths.run_dir, 0o755, "run_dir", None)?;
    make_one(&paths.state_dir, 0o700, "state_dir", account)
}

fn make_one(path: &Path, mode: u32, key: &'static str, account: Option<&Account>) -> Result<(), DirectoryError> {
    let wrong = |error| DirectoryError { path: path.to_owned(), key, error };
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(wrong)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        // The relay makes the same run directory; one of us is first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made.map_err(wrong)?,
    }
    match account {
        Some(account) => chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw())).map_err(wrong),
        None => Ok(()),
    }
}
