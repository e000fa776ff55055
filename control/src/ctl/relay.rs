//! What only the relay's own program can do: `raceway-relay doctor` and `raceway-relay detach`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::ask::Place;
use crate::show::say;

/// The relay's program: beside this one, else wherever PATH has it.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("raceway-relay"));
    beside.filter(|path| path.exists()).unwrap_or_else(|| "raceway-relay".into())
}

/// `raceway-relay WORD` with the same configuration.
pub fn command(word: &str, place: &Place) -> Command {
    let mut command = Command::new(program());
    command.arg(word);
    if let Some(config) = &place.config {
        command.arg("--config").arg(config);
    }
    command
}

/// Has the relay's program remove what it pinned.
pub fn detach(place: &Place, json: bool) -> ExitCode {
    let outcome = match command("detach", place).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{}: {error}; install raceway-relay beside racewayctl", program().display())),
    };
    match (&outcome, json) {
        (Ok(()), false) => say("Detached: XDP relays nothing on this machine"),
        (Ok(()), true) => say("{\n  \"detached\": true\n}"),
        (Err(why), false) => eprintln!("{why}"),
        (Err(why), true) => say(&format!("{:#}", serde_json::json!({ "error": why }))),
    }
    ExitCode::from(u8::from(outcome.is_err()))
}
