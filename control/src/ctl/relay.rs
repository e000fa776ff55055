//! What only the relay's own program can do: `raceway-relay doctor` and `raceway-relay detach`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::ask::Place;

/// The relay's program: beside this one, else wherever PATH has it.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("raceway-relay"));
    beside.filter(|path| path.exists()).unwrap_or_else(|| "raceway-relay".into())
}

/// `raceway-relay WORD` with the same configuration.
pub fn command(word: &str, place: &Place, json: bool) -> Command {
    let mut command = Command::new(program());
    command.arg(word);
    if json {
        command.arg("--json");
    }
    if let Some(config) = &place.config {
        command.arg("--config").arg(config);
    }
    command
}

/// Has the relay's program remove what it pinned.
pub fn detach(place: &Place, json: bool) -> ExitCode {
    match command("detach", place, json).status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("{}: {error}; install raceway-relay beside racewayctl", program().display());
            ExitCode::FAILURE
        }
    }
}
