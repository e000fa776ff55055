//! The two files of a part: its key, and its body.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use raceway_api::RecordingProblem;

use crate::limits::PARTS_MAX;

/// Files of a part that is written.
#[derive(Debug)]
pub struct Files {
    body: File,
    names: [PathBuf; 2],
    /// Octets in the body.
    written: u64,
}

impl Files {
    /// Makes the files of the first part from `number` on that is not there, with its key; gives its number too.
    ///
    /// # Errors
    /// Why they cannot be made; then there is nothing of them.
    pub fn create(directory: &Path, stem: &str, number: u32, key: &[u8]) -> Result<(Self, u32), RecordingProblem> {
        for number in number..=PARTS_MAX {
            let names = names(directory, stem, number);
            let body = match both(&names, key) {
                Ok(body) => body,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(problem(&error)),
            };
            return Ok((Self { body, names, written: 0 }, number));
        }
        Err(RecordingProblem::Limit)
    }

    /// Adds to the body: all of it or, on an error, nothing.
    ///
    /// # Errors
    /// Why not; of a body that nothing was ever written to, the files are gone then.
    pub fn append(&mut self, octets: &[u8]) -> Result<(), RecordingProblem> {
        if let Err(error) = self.try_append(octets) {
            // What is there can be read; half a chunk more would be noise.
            let _ = self.body.set_len(self.written);
            if self.written == 0 {
                self.remove();
            }
            return Err(problem(&error));
        }
        self.written += octets.len() as u64;
        Ok(())
    }

    fn try_append(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.body.metadata()?.nlink() == 0 {
            // Somebody removed it: what would be written is nowhere.
            return Err(Errno::ENOENT.into());
        }
        self.body.write_all(octets)
    }

    fn remove(&self) {
        self.names.iter().for_each(|name| drop(remove_file(name)));
    }
}

/// Removes the parts of a recording up to `last`, their keys first.
pub fn discard(directory: &Path, stem: &str, last: u32) {
    for number in 1..=last {
        for name in names(directory, stem, number) {
            // One that is not there is as it should be.
            if let Err(error) = remove_file(&name)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::error!(file = %name.display(), %error, "a recording could not be removed");
            }
        }
    }
}

fn names(directory: &Path, stem: &str, number: u32) -> [PathBuf; 2] {
    ["key", "body"].map(|kind| directory.join(format!("{stem}-{number}.{kind}")))
}

fn both([key_name, body_name]: &[PathBuf; 2], key: &[u8]) -> io::Result<File> {
    let create = |name: &PathBuf| OpenOptions::new().write(true).create_new(true).mode(0o640).open(name);
    let mut key_file = create(key_name)?;
    let body = key_file.write_all(key).and_then(|()| create(body_name));
    if body.is_err() {
        drop(remove_file(key_name));
    }
    body
}

/// What an error means for a recording.
pub fn problem(error: &io::Error) -> RecordingProblem {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => RecordingProblem::Full,
        Some(Errno::ENOENT | Errno::ENOTDIR) => RecordingProblem::Gone,
        Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => RecordingProblem::Denied,
        Some(other) => RecordingProblem::Other(other as i32),
        None => RecordingProblem::Other(0),
    }
}
