//! racewayctl: looks at a running Raceway and changes it.

mod ask;
mod calls;
mod doctor;
mod relay;
mod show;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use raceway_control::admin::protocol::{LIMIT_DEFAULT, Reply, Request};

use ask::{Place, Trouble};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Looks at a running Raceway and changes it.
///
/// Speaks to raceway-control over RUN_DIR/admin.sock, so it needs the rights of its account or group (or root).
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done; 1 refused, or doctor found something wrong; 2 wrong arguments; \
    3 raceway-control is not running."
)]
struct Arguments {
    /// Answer in JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
    /// The configuration that raceway-control was started with, to find its socket.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the sockets, in place of --config.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "config")]
    run_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How control and relay are: addresses, sessions, flows, packets, drops, data path of each interface.
    Status,
    /// Lists sessions (TURN allocations), oldest first.
    Sessions {
        /// Most that are listed.
        #[arg(long, default_value_t = LIMIT_DEFAULT)]
        limit: usize,
    },
    /// Shows one session with its permissions, channels and flows.
    Session {
        /// Its name, as `sessions` shows it.
        #[arg(value_parser = session_id)]
        id: u64,
    },
    /// Ends one session: what it relays stops at once. Its client may allocate anew.
    End {
        /// Its name, as `sessions` shows it.
        #[arg(value_parser = session_id)]
        id: u64,
    },
    /// Lists flows as the relay holds them, with what they measured.
    Flows {
        /// Only those of this session.
        #[arg(long, value_parser = session_id)]
        session: Option<u64>,
        /// Most that are listed.
        #[arg(long, default_value_t = LIMIT_DEFAULT)]
        limit: usize,
    },
    /// Lists calls, oldest first.
    Calls {
        /// Most that are listed.
        #[arg(long, default_value_t = LIMIT_DEFAULT)]
        limit: usize,
    },
    /// Shows one call: its parties, where their media goes, and how it arrives.
    Call {
        /// Its Call-ID, as `calls` shows it.
        id: String,
    },
    /// Ends one call: its media stops at once. The phones are not told.
    Terminate {
        /// Its Call-ID, as `calls` shows it.
        id: String,
    },
    /// Has the configuration read again. Checked whole first: if anything is wrong, nothing changes. No session is
    /// dropped.
    Reload,
    /// Refuses new allocations, so that the sessions that are left can end; they are not touched.
    Drain {
        /// Accept new allocations again.
        #[arg(long)]
        off: bool,
    },
    /// Checks machine, rights, interfaces, kernel settings, configuration and the running programs, and says what to
    /// do about each that is not right. Works without a running Raceway.
    Doctor,
    /// Changes the log level of control and relay until their next start.
    LogLevel {
        /// error, warn, info or debug.
        level: String,
    },
    /// Removes the XDP programs and pinned maps that outlive the relay. What XDP relays stops at once; for when
    /// Raceway is taken off a machine, or its map version has changed.
    Detach,
}

/// The name of a session as people type it.
fn session_id(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "sessions have numbers: the first column of `racewayctl sessions`".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let place = Place::find(arguments.config, arguments.run_dir);
    let request = match arguments.command {
        Command::Status => Request::Status,
        Command::Sessions { limit } => Request::Sessions { limit },
        Command::Session { id } => Request::Session { id },
        Command::End { id } => Request::End { id },
        Command::Flows { session, limit } => Request::Flows { session, limit },
        Command::Calls { limit } => Request::Calls { limit },
        Command::Call { id } => Request::Call { id },
        Command::Terminate { id } => Request::Terminate { id },
        Command::Reload => Request::Reload,
        Command::Drain { off } => Request::Drain { on: !off },
        Command::LogLevel { level } => Request::LogLevel { level },
        Command::Doctor => return doctor::run(&place, arguments.json),
        Command::Detach => return relay::detach(&place, arguments.json),
    };
    match ask::ask(&place, &request) {
        Ok(reply) => answer(&reply, arguments.json),
        Err(trouble) => complain(&trouble, arguments.json),
    }
}

fn answer(reply: &Reply, json: bool) -> ExitCode {
    if json {
        show::say(&show::json(reply));
    } else if let Reply::Refused(why) = reply {
        eprintln!("{why}");
    } else {
        show::say(&show::text(reply));
    }
    match reply {
        Reply::Refused(_) => ExitCode::from(1),
        _ => ExitCode::SUCCESS,
    }
}

fn complain(trouble: &Trouble, json: bool) -> ExitCode {
    if json {
        show::say(&show::json(&Reply::Refused(trouble.to_string())));
    } else {
        eprintln!("{trouble}");
    }
    ExitCode::from(match trouble {
        Trouble::NotRunning { .. } => 3,
        Trouble::NotAllowed { .. } | Trouble::NoAnswer { .. } => 1,
    })
}
