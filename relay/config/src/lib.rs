//! The configuration file: text in, checked configuration out.
//!
//! [`parse`] reads TOML in three steps: the document, `RawConfig` (each value by itself), [`Config`] (values compared
//! with each other, defaults filled in). Everything that is wrong is collected and told at once, with file, line, key
//! and what would be right. No value of a secret is ever part of a message, which is why the document is walked by
//! hand and not by serde, whose messages quote values and lines.
//!
//! Nothing here looks at the machine: whether an address is really there is for the programs to check, with
//! [`Origin::problem`] to say where it was written.

mod check;
mod check_media;
mod config;
mod diff;
mod diff_media;
pub mod limits;
mod media;
mod near;
mod origin;
mod paths;
mod problem;
mod raw;
mod raw_media;
mod read;
mod read_media;
mod reader;
mod secret;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_media;

pub use config::{
    Auth, Config, Http, Interfaces, Log, LogFormat, LogLevel, Node, Policy, PortRange, Relay, Turn, Workers, Xdp,
};
pub use diff::{Change, Effect, diff};
pub use media::{Cdr, Https, Media, MediaInterface, Ng, Notice, Recording, Url};
pub use origin::Origin;
pub use paths::{Paths, Surroundings};
pub use problem::{Problem, Problems};
pub use secret::{Secret, UserKey};

use raw::RawConfig;
use reader::Reader;

/// Reads a configuration. `file` is its name, for messages; an empty text gives the defaults.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(file: &str, text: &str) -> Result<Config, Problems> {
    let mut reader = Reader::new(file, text);
    if text.len() > limits::FILE_MAX {
        let what = format!("{} octets are too many for a configuration file", text.len());
        let right = format!("at most {} are read", limits::FILE_MAX);
        let problem = Problem { file: file.to_owned(), line: None, key: String::new(), what, right };
        return Err(Problems(vec![problem]));
    }
    let (document, errors) = toml::de::DeTable::parse_recoverable(text);
    for error in &errors {
        reader.refuse_syntax(error, file);
    }
    if !errors.is_empty() {
        return Err(Problems(reader.problems));
    }
    let raw = RawConfig::read(&mut reader, document.get_ref());
    let config = check::check(&mut reader, raw);
    if reader.problems.is_empty() {
        return Ok(config);
    }
    reader.problems.sort_by_key(|problem| problem.line);
    Err(Problems(reader.problems))
}

/// What a configuration allows and its owner should know: told on start, reload and `--check`.
#[must_use]
pub fn warnings(config: &Config) -> Vec<Problem> {
    check_media::warnings(config)
}

/// Fuzz entry: whatever the text, the answer is a configuration that differs from itself in nothing, or problems that
/// stand on lines of the text.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match parse("fuzz", text) {
        Ok(config) => assert_eq!(diff(&config, &config), []),
        Err(Problems(problems)) => {
            assert!(!problems.is_empty(), "a refusal has a reason");
            let lines = 1 + text.matches('\n').count();
            assert!(problems.iter().all(|p| p.line.is_none_or(|line| (1..=lines).contains(&(line as usize)))));
        }
    }
}
