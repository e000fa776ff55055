//! Finds control's socket and asks.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raceway_config::{Node, Paths};
use raceway_control::admin::protocol::{Reply, Request};
use raceway_control::boot::directories::surroundings;

/// For control to answer; longer than control itself waits for the relay.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a system service has its sockets.
const SERVICE_RUN_DIR: &str = "/run/raceway";

/// Where control is.
pub struct Place {
    /// As given, made absolute.
    pub config: Option<PathBuf>,
    /// Directories.
    pub paths: Paths,
}

impl Place {
    /// From --config or --run-dir; else this account's own place, else that of the system service.
    pub fn find(config: Option<PathBuf>, run_dir: Option<PathBuf>) -> Self {
        let named = run_dir.is_some();
        let mut node = config.as_deref().map_or_else(empty_node, node_of);
        node.run_dir = run_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir)).or(node.run_dir);
        let mut paths = Paths::new(&node, &surroundings());
        let service = Paths { run_dir: SERVICE_RUN_DIR.into(), ..paths.clone() };
        if config.is_none() && !named && !paths.admin_socket().exists() && service.admin_socket().exists() {
            paths = service;
        }
        Self { config, paths }
    }
}

fn empty_node() -> Node {
    Node { state_dir: None, run_dir: None, user: None }
}

/// The directories that a configuration names, even if the rest of it is wrong: it may be what is being mended.
fn node_of(path: &Path) -> Node {
    let text = fs::read_to_string(path).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let dir = |key| table.get("node")?.get(key)?.as_str().map(PathBuf::from);
    Node { state_dir: dir("state_dir"), run_dir: dir("run_dir"), user: None }
}

/// Why there is no answer: what, why, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody serves the socket.
    #[error(
        "raceway-control is not running: {socket}: {error}.\n\
         Start it (scripts/up, or systemctl start raceway-control), or say where it is with --config or --run-dir."
    )]
    NotRunning {
        /// Where it should be.
        socket: PathBuf,
        /// By the system.
        error: io::Error,
    },
    /// Not for this account.
    #[error(
        "{socket}: {error}.\n\
         Only root and the account and group of raceway-control may use it: try sudo, or join that group."
    )]
    NotAllowed {
        /// Where it is.
        socket: PathBuf,
        /// By the system.
        error: io::Error,
    },
    /// It did not say anything sensible.
    #[error("raceway-control at {socket} gave no answer: {error}.\nLook at its log; use programs of one build.")]
    NoAnswer {
        /// Where it is.
        socket: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// Asks control.
///
/// # Errors
/// [`Trouble`].
pub fn ask(place: &Place, request: &Request) -> Result<Reply, Trouble> {
    let socket = place.paths.admin_socket();
    let stream = UnixStream::connect(&socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Trouble::NotAllowed { socket: socket.clone(), error },
        _ => Trouble::NotRunning { socket: socket.clone(), error },
    })?;
    converse(stream, request).map_err(|error| Trouble::NoAnswer { socket, error })
}

fn converse(mut stream: UnixStream, request: &Request) -> io::Result<Reply> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    Ok(serde_json::from_str(&reply)?)
}
