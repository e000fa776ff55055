//! Answers racewayctl.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raceway_abi::{Counter, Direction, DropReason};
use raceway_api::{SessionId, Statistics};
use raceway_config::LogLevel;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::call::Call;
use super::protocol::{Interface, LIMIT_MAX, REQUEST_MAX, RelayAddress, RelayStatus, Reply, Request, Status};
use crate::cdr::Book;
use crate::link::{Command, Gone, Link, Overview, RelayInfo, now};
use crate::log::LevelHandle;
use crate::ng::{Certificate, Service};
use crate::notify::Teller;
use crate::reload::{Reloaded, Running};

/// For a client to say its line, and for the relay to report.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an answer can be made of.
#[derive(Debug)]
pub struct App {
    /// To server and relay.
    pub link: Link,
    /// Commands of SIP proxies.
    pub ng: Arc<Service>,
    /// Records of calls.
    pub book: Book,
    /// Is told what happens to calls.
    pub teller: Teller,
    /// That of ng by HTTPS, if there is that.
    pub certificate: Option<Arc<Certificate>>,
    /// To the log.
    pub level: LevelHandle,
    /// The configuration in force.
    pub running: Mutex<Running>,
    /// When control started.
    pub started: Instant,
    /// Account that it runs as.
    pub user: String,
}

/// Binds the socket: readable and writable for this account and its group. A socket left by a process that ended is
/// replaced; its directory must be ours to write.
///
/// # Errors
/// When another control serves it, or the directory is not ours.
pub fn bind(path: &Path) -> std::io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another raceway-control serves it"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until the program ends.
pub async fn serve(listener: UnixListener, app: Rc<App>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = Rc::clone(&app);
                tokio::task::spawn_local(async move {
                    if let Err(error) = converse(stream, &app).await {
                        tracing::debug!(%error, "admin socket");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin socket cannot accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, app: &App) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(REQUEST_MAX));
    if timeout(PATIENCE, reader.read_line(&mut line)).await?? == 0 {
        return Ok(());
    }
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => answer(request, app).await.unwrap_or_else(|gone| Reply::Refused(gone.to_string())),
        Err(error) => {
            Reply::Refused(format!("not a request of this version: {error}; use racewayctl of the same build"))
        }
    };
    let mut text = serde_json::to_vec(&reply).map_err(std::io::Error::other)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

async fn answer(request: Request, app: &App) -> Result<Reply, Gone> {
    Ok(match request {
        Request::Status => Reply::Status(Box::new(status(app).await?)),
        Request::Sessions { limit } => {
            let page = app.link.ask(|reply| Command::Sessions { limit: limit.min(LIMIT_MAX), reply }).await?;
            Reply::Sessions { sessions: page.sessions, total: page.total }
        }
        Request::Session { id } => session(app, SessionId(id)).await?,
        Request::Flows { session, limit } => {
            let session = session.map(SessionId);
            match flows(app, session, limit.min(LIMIT_MAX)).await? {
                Some(flows) => Reply::Flows { flows: flows.flows, total: flows.total },
                None => Reply::Refused("raceway-relay is not there or busy; it alone knows flows".to_owned()),
            }
        }
        Request::End { id } => match app.link.ask(|reply| Command::End { id: SessionId(id), reply }).await? {
            true => {
                tracing::info!(session = id, "ended by an operator");
                Reply::Ended { id }
            }
            false => no_session(id),
        },
        Request::Calls { limit } => {
            let (calls, total) = app.link.ask(|reply| Command::Calls { limit: limit.min(LIMIT_MAX), reply }).await?;
            Reply::Calls { calls: calls.iter().map(|call| Call::new(call, now())).collect(), total }
        }
        Request::Call { id } => {
            let call_id = id.clone();
            match app.link.ask(|reply| Command::Call { call_id, reply }).await? {
                Some(call) => Reply::Call(Box::new(Call::new(&call, now()))),
                None => no_call(&id),
            }
        }
        Request::Terminate { id } => {
            let call_id = id.clone();
            if app.link.ask(|reply| Command::Terminate { call_id, reply }).await? {
                tracing::info!("a call is ended by an operator");
                Reply::Terminated { id }
            } else {
                no_call(&id)
            }
        }
        Request::Reload => reload(app).await,
        Request::Drain { on } => {
            let sessions = app.link.ask(|reply| Command::Drain { on, reply }).await?;
            tracing::info!(on, sessions, "drain");
            Reply::Drained { on, sessions }
        }
        Request::LogLevel { level } => match LogLevel::parse(&level) {
            Some(parsed) => {
                app.level.set(parsed);
                app.link.tell(Command::LogLevel(parsed))?;
                Reply::LogLevel { level }
            }
            None => Reply::Refused(format!("{level:?} is not a level; write error, warn, info or debug")),
        },
    })
}

fn no_session(id: u64) -> Reply {
    Reply::Refused(format!("there is no session {id}; `racewayctl sessions` lists them"))
}

fn no_call(id: &str) -> Reply {
    Reply::Refused(format!("there is no call {id:?}; `racewayctl calls` lists them"))
}

async fn session(app: &App, id: SessionId) -> Result<Reply, Gone> {
    let Some(session) = app.link.ask(|reply| Command::Session { id, reply }).await? else {
        return Ok(no_session(id.0));
    };
    let flows = flows(app, Some(id), LIMIT_MAX).await?;
    Ok(Reply::Session { session, flows: flows.map(|flows| flows.flows) })
}

async fn flows(app: &App, session: Option<SessionId>, limit: usize) -> Result<Option<crate::link::Flows>, Gone> {
    let asked = app.link.ask(|reply| Command::Flows { session, limit, reply });
    timeout(PATIENCE, asked).await.unwrap_or(Ok(None))
}

/// Reads the configuration again, and says in the log what came of it.
pub async fn reload(app: &App) -> Reply {
    let mut running = app.running.lock().await;
    match running.reload(app).await {
        Ok(Reloaded { applied, restart, addresses }) => {
            let changes: Vec<String> = applied.iter().map(ToString::to_string).chain(addresses).collect();
            let restart: Vec<String> = restart.iter().map(ToString::to_string).collect();
            if changes.is_empty() && restart.is_empty() {
                tracing::info!("reload: nothing has changed");
            }
            for change in &changes {
                tracing::info!("reload: {change}");
            }
            for change in &restart {
                tracing::warn!("reload: {change}");
            }
            Reply::Reloaded { changes, restart }
        }
        Err(error) => {
            let text = error.to_string();
            for line in text.lines() {
                tracing::error!("reload refused, nothing has changed: {line}");
            }
            Reply::Refused(text)
        }
    }
}

async fn status(app: &App) -> Result<Status, Gone> {
    let overview = app.link.overview().await?;
    let running = app.running.lock().await;
    let plan = &running.plan;
    let relayed = plan.policy.relay_addresses.iter();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: app.started.elapsed().as_secs(),
        user: app.user.clone(),
        state: overview.state().to_owned(),
        config: running.file.path().map(|path| path.display().to_string()),
        listeners: plan.assignment.listeners.iter().map(ToString::to_string).collect(),
        relay_addresses: relayed
            .map(|r| RelayAddress { internal: r.internal.to_string(), external: r.external.to_string() })
            .collect(),
        port_range: running.config.turn.port_range.to_string(),
        realm: plan.policy.realm.clone(),
        metrics: running.config.http.listen.map(|address| format!("http://{address}/metrics")),
        sessions: overview.sessions,
        calls: overview.calls.open,
        proxies: running.config.ng.listen.iter().map(ToString::to_string).collect(),
        allocations_ipv4: overview.allocations[0],
        allocations_ipv6: overview.allocations[1],
        relay: overview.relay.as_ref().map(|relay| relay_status(relay, &overview)),
        problems: overview.problems,
    })
}

fn relay_status(relay: &RelayInfo, overview: &Overview) -> RelayStatus {
    let nothing = Statistics::default();
    let statistics = overview.statistics.as_deref().unwrap_or(&nothing);
    let value = |counters: &[u64], counter: Counter| counters.get(counter.index() as usize).copied().unwrap_or(0);
    let packets = |counters: &[u64]| {
        Direction::ALL.iter().map(|direction| value(counters, Counter::packets(*direction))).sum::<u64>()
    };
    let drops = DropReason::ALL.iter().map(|reason| {
        let counter = Counter::drops(*reason);
        (reason.label().to_owned(), value(&statistics.xdp, counter) + value(&statistics.worker, counter))
    });
    RelayStatus {
        connected: overview.connected,
        version: relay.version.clone(),
        workers: relay.workers,
        worker_busy: statistics.worker_busy_ppm.iter().map(|ppm| f64::from(*ppm) / 1e6).collect(),
        flows_xdp: statistics.flows_xdp,
        flows_worker: statistics.flows_worker,
        flows_max: relay.flows_max,
        packets_xdp: packets(&statistics.xdp),
        packets_worker: packets(&statistics.worker),
        drops: drops.filter(|(_, count)| *count > 0).collect(),
        control_restarts: relay.connections.saturating_sub(1),
        interfaces: overview
            .interfaces()
            .iter()
            .map(|i| Interface {
                name: i.name.to_string(),
                xdp: i.mode.label().to_owned(),
                reason: i.reason.to_string(),
            })
            .collect(),
    }
}
