//! The configuration file on disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use raceway_config::{Config, Problems, limits};
use zeroize::Zeroizing;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not readable at all.
    #[error("{path}: {error}; name a readable file after --config, or leave --config out to use the defaults")]
    Unreadable {
        /// As named.
        path: PathBuf,
        /// By the system.
        error: io::Error,
    },
    /// Readable before rights were given up, replaced since by one that is not.
    #[error(
        "{path}: {error}, and the file that was read at start has been replaced; make the new one and its directory \
         readable for the account that raceway-control runs as (chgrp, chmod g+r)"
    )]
    Replaced {
        /// As named.
        path: PathBuf,
        /// By the system.
        error: io::Error,
    },
    /// Readable but wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// A configuration file that can be read again after rights were given up.
#[derive(Debug)]
pub struct ConfigFile {
    path: Option<PathBuf>,
    open: Option<File>,
}

impl ConfigFile {
    /// The file at `path`; the defaults when there is none.
    ///
    /// # Errors
    /// [`FileError::Unreadable`].
    pub fn open(path: Option<&Path>) -> Result<Self, FileError> {
        let Some(path) = path else { return Ok(Self { path: None, open: None }) };
        let open = File::open(path).map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
        // Made absolute, because control changes its working directory.
        let path = std::path::absolute(path).map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
        Ok(Self { path: Some(path), open: Some(open) })
    }

    /// Where it is, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Reads and checks it as it is now.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(&mut self) -> Result<Config, FileError> {
        let Some(path) = self.path.clone() else {
            return Ok(Config::default());
        };
        match File::open(&path) {
            Ok(file) => self.open = Some(file),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.still_there(&path, error)?,
            Err(error) => return Err(FileError::Unreadable { path, error }),
        }
        let file = self.open.as_mut().expect("opened above or at start");
        let text = read_text(file).map_err(|error| FileError::Unreadable { path: path.clone(), error })?;
        Ok(raceway_config::parse(&path.display().to_string(), &text)?)
    }

    /// The file kept open since the start still has a name, so it is the one that an editor wrote into.
    fn still_there(&self, path: &Path, error: io::Error) -> Result<(), FileError> {
        let linked = self.open.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|m| m.nlink() > 0);
        if linked { Ok(()) } else { Err(FileError::Replaced { path: path.to_owned(), error }) }
    }
}

fn read_text(file: &mut File) -> io::Result<Zeroizing<String>> {
    file.seek(SeekFrom::Start(0))?;
    let mut text = Zeroizing::new(String::with_capacity(16 << 10));
    file.take(limits::FILE_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named_with_what_to_do() {
        let error = ConfigFile::open(Some(Path::new("/nonexistent.toml"))).expect_err("there is none");
        assert_eq!(
            error.to_string(),
            "/nonexistent.toml: No such file or directory (os error 2); name a readable file after --config, or leave \
             --config out to use the defaults"
        );
    }

    #[test]
    fn no_file_means_the_defaults() {
        let mut file = ConfigFile::open(None).expect("nothing to open");
        let config = file.read().expect("defaults are right");
        assert_eq!(raceway_config::diff(&config, &Config::default()), []);
    }
}
