//! raceway-control: answers TURN clients, tells the relay what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Parser;
use raceway_config::{Config, Paths};
use raceway_control::admin::server::{self, App};
use raceway_control::boot::account::{self, Account};
use raceway_control::boot::addresses::MachineAddresses;
use raceway_control::boot::credentials::{self, Credentials};
use raceway_control::boot::file::ConfigFile;
use raceway_control::boot::machine::{Held, SocketType, check_machine, is_served};
use raceway_control::boot::{directories, greeting};
use raceway_control::cdr::Book;
use raceway_control::link::{Command, Link, Start};
use raceway_control::plan::{Plan, PlanError, plan};
use raceway_control::reload::Running;
use raceway_control::{http, log, metrics, ng, notify};
use raceway_turn::{NonceKey, Server};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Raceway's control plane: answers STUN and TURN requests, decides who may relay what, serves metrics.
///
/// Needs raceway-relay, which carries the packets; either may be started first, and either may be restarted while
/// media flows. Started by root, it becomes an ordinary account ([node] user) before it serves anyone.
///
/// SIGHUP (or racewayctl reload) reads the configuration again without dropping a session; SIGTERM and Ctrl-C end
/// it, and what is being relayed goes on until its own expiry.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration in TOML; without it every option has its default. docs/raceway.toml has them all.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only say what is wrong with the configuration, on this machine; nothing is started. Exit code 2 if anything is.
    #[arg(long)]
    check: bool,
}

/// Exit code of a configuration that is refused.
const REFUSED: u8 = 2;

/// For the relay to say which data path each interface got, before people are told that it is missing.
const GREETING_PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let prepared = match prepare(arguments.config.as_deref(), arguments.check) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(REFUSED);
        }
    };
    if arguments.check {
        raceway_config::warnings(&prepared.config).iter().for_each(|warning| eprintln!("warning: {warning}"));
        println!("{}: right", prepared.file.path().map_or_else(|| "defaults".into(), Path::to_string_lossy));
        return ExitCode::SUCCESS;
    }
    match run(prepared) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raceway-control: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A configuration that fits this machine.
struct Prepared {
    config: Config,
    file: ConfigFile,
    machine: MachineAddresses,
    paths: Paths,
    account: Option<Account>,
    control_running: bool,
}

/// Reads and checks; changes nothing. With `check_only` the relay is taken to have no more rights than this process,
/// which is how `scripts/up` starts both.
fn prepare(path: Option<&Path>, check_only: bool) -> anyhow::Result<Prepared> {
    let mut file = ConfigFile::open(path)?;
    let config = file.read()?;
    let paths = Paths::new(&config.node, &directories::surroundings());
    directories::check(&paths)?;
    let account = account::choose(&config.node, &paths.state_dir)
        .map_err(|error| anyhow!(config.origin.problem("node.user", error.to_string(), "")))?;
    let machine = MachineAddresses::read().context("addresses of this machine")?;
    let relay_running = is_served(&paths.relay_socket(), SocketType::SeqPacket);
    let control_running = is_served(&paths.admin_socket(), SocketType::Stream);
    let held = Held {
        listeners: if relay_running { None } else { Some(&[]) },
        control: control_running,
        relay_has_rights: !check_only,
    };
    check_machine(&config, &machine, held)?;
    ng::Certificate::load(&config).map_err(|problem| anyhow!(problem))?;
    // The server prepares names and passwords for comparison, and refuses those that no client can send.
    let plan = plan(&config, &machine, &Credentials::placeholder()).map_err(|error| wrong_plan(&file, &error))?;
    new_server(plan, &Credentials::placeholder()).map_err(|error| wrong_plan(&file, &error.into()))?;
    Ok(Prepared { config, file, machine, paths, account, control_running })
}

fn wrong_plan(file: &ConfigFile, error: &PlanError) -> anyhow::Error {
    anyhow!("{}: {error}", file.path().map_or_else(|| "default".into(), Path::to_string_lossy))
}

fn new_server(plan: Plan, credentials: &Credentials) -> Result<Server, raceway_turn::PolicyError> {
    let random = |octets: &mut [u8]| getrandom::fill(octets).expect("the kernel has random numbers once it has booted");
    let nonce_key = NonceKey::new(&credentials.nonce_key, &credentials::boot_id());
    Server::new(plan.policy, nonce_key, Box::new(random))
}

/// Takes everything that needs rights, gives them up, serves.
fn run(prepared: Prepared) -> anyhow::Result<()> {
    let Prepared { config, file, machine, paths, account, control_running } = prepared;
    let level = log::start(&config.log);
    raceway_config::warnings(&config).iter().for_each(|warning| tracing::warn!("configuration: {warning}"));
    if control_running {
        return Err(anyhow!("another raceway-control serves {}; stop it first", paths.admin_socket().display()));
    }
    let root = account.is_some();
    directories::make(&paths, account.as_ref())?;
    let credentials = credentials::load_or_make(&paths.credentials(), account.as_ref())?;
    let plan = plan(&config, &machine, &credentials)?;
    let http = config.http.listen.map(std::net::TcpListener::bind).transpose().context("[http] listen")?;
    if let Some(http) = &http {
        http.set_nonblocking(true)?;
    }
    let proxies = ng::Sockets::bind(&config.ng, &machine).context("[ng]")?;
    let certificate = ng::Certificate::load(&config).map_err(|problem| anyhow!(problem))?.map(Arc::new);
    let admin = server::bind(&paths.admin_socket()).with_context(|| paths.admin_socket().display().to_string())?;
    // With its own account the process may not get through the directories above: it stands where the sockets are.
    std::env::set_current_dir(&paths.run_dir).with_context(|| paths.run_dir.display().to_string())?;
    if let Some(account) = &account {
        let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
        std::os::unix::fs::chown(paths.admin_socket(), Some(uid), Some(gid)).context("admin socket")?;
        account::give_up_rights(account)?;
    }
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), user, "raceway-control");
    let show_password = std::env::var_os("JOURNAL_STREAM").is_none();
    say(&greeting::greeting(&config, &plan, &paths, &credentials, show_password));

    let book = Book::open(config.cdr.clone())?;
    let (teller, messenger) = notify::channel(&config.ng);
    let punt_latency = metrics::punt_latency();
    let (link, thread) = Link::start(Start {
        server: new_server(plan.clone(), &credentials)?,
        assignment: plan.assignment.clone(),
        media: plan.media.clone(),
        book: book.clone(),
        teller: teller.clone(),
        redact: config.log.redact,
        relay_socket: paths.relay_socket(),
        punt_latency: punt_latency.clone(),
    })?;
    let ng = ng::Service::new(link.clone(), config.ng.allow.clone());
    let running = Running { config, machine, plan, file, credentials }.into();
    let app = App {
        link: link.clone(),
        ng: Arc::clone(&ng),
        book: book.clone(),
        teller: teller.clone(),
        certificate: certificate.clone(),
        level,
        running,
        started: Instant::now(),
        user,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = tokio::task::LocalSet::new().block_on(&runtime, async {
        let ended = tokio::task::spawn_blocking(move || thread.join());
        if let Some(http) = http {
            let http = tokio::net::TcpListener::from_std(http)?;
            let sources = http::Sources { link: link.clone(), punt_latency, ng: Arc::clone(&ng), book, teller };
            tokio::spawn(http::serve(http, sources));
        }
        proxies.serve(&ng, certificate)?;
        tokio::spawn(messenger.run());
        tokio::task::spawn_local(tell_data_paths(link, root));
        let app = Rc::new(app);
        tokio::task::spawn_local(server::serve(tokio::net::UnixListener::from_std(admin)?, Rc::clone(&app)));
        tokio::select! {
            done = until_told_to_end(&app) => done,
            _ = ended => Err(anyhow!("the thread that answers clients has ended, which is a fault of this program")),
        }
    });
    runtime.shutdown_background();
    // Nobody answers there any more. By its name alone, since the way there may be closed to this account; that it is
    // gone already changes nothing.
    let _ = paths.admin_socket().file_name().map(std::fs::remove_file);
    served
}

/// Tells people; that nobody reads it is no reason to end.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Reloads on SIGHUP; returns on SIGTERM and SIGINT.
async fn until_told_to_end(app: &App) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                server::reload(app).await;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("ending; what is being relayed goes on until its own expiry");
    Ok(())
}

/// Tells people which data path each interface got, once the relay has said so.
async fn tell_data_paths(link: Link, root: bool) {
    let started = Instant::now();
    let mut complained = false;
    loop {
        let Ok(overview) = link.ask(|reply| Command::Overview { fresh: false, reply }).await else { return };
        if let Some(relay) = overview.relay {
            say(&format!("{}\n", greeting::data_paths(&relay, root)));
            return;
        }
        if !complained && started.elapsed() > GREETING_PATIENCE {
            say("  relay       not there yet: start raceway-relay with the same configuration\n\n");
            complained = true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
