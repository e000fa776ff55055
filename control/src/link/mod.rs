//! One thread owns the TURN server and the connection to the relay; everybody else sends it commands.

mod clock;
mod command;
mod connection;
mod overview;
mod state;
mod thread;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::Histogram;
use raceway_media::Settings;
use raceway_turn::Server;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use clock::now;
pub use command::{Command, Flows, Gone, SessionPage};
pub use overview::{Overview, RelayInfo};

use crate::calls::Desk;
use crate::cdr::Book;
use crate::notify::Teller;
use crate::plan::Assignment;

/// For the relay to give its figures; then the last ones are shown.
const STATISTICS_MAX: Duration = Duration::from_secs(2);

/// Speaks to the thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
}

/// What the thread starts with.
#[derive(Debug)]
pub struct Start {
    /// Without sessions.
    pub server: Server,
    /// For the calls.
    pub media: Option<Settings>,
    /// Takes records of calls.
    pub book: Book,
    /// Is told what happens to calls.
    pub teller: Teller,
    /// Whether names of calls and parties are left out of the log.
    pub redact: bool,
    /// What the relay is told.
    pub assignment: Assignment,
    /// Where the relay listens.
    pub relay_socket: PathBuf,
    /// Takes how long punts were under way.
    pub punt_latency: Histogram,
}

impl Link {
    /// Starts the thread, which ends when the last `Link` is dropped.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left, or the settings of calls contradict each other.
    pub fn start(start: Start) -> std::io::Result<(Self, JoinHandle<()>)> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (book, teller) = (start.book.clone(), start.teller.clone());
        let desk = Desk::new(start.media.clone(), book, teller, start.redact, now()).map_err(std::io::Error::other)?;
        let (commands, inbox): (_, Receiver<Command>) = mpsc::channel();
        let link = Self { commands, wake: Arc::clone(&wake) };
        let builder = std::thread::Builder::new().name("turn".to_owned());
        let thread = builder.spawn(move || thread::run(start, desk, inbox, &wake))?;
        Ok((link, thread))
    }

    /// Gives a command without waiting for anything.
    ///
    /// # Errors
    /// [`Gone`] when the thread has ended.
    pub fn tell(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).map_err(|_| Gone)?;
        // A full counter means that the thread is already due to wake.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }

    /// Gives the command that `make` makes around a place for the answer, and waits for that.
    ///
    /// # Errors
    /// [`Gone`] when the thread has ended.
    pub async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.tell(make(reply))?;
        answer.await.map_err(|_| Gone)
    }

    /// The state of everything, with the relay's figures of now if it gives them in time.
    ///
    /// # Errors
    /// [`Gone`] when the thread has ended.
    pub async fn overview(&self) -> Result<Overview, Gone> {
        let fresh = self.ask(|reply| Command::Overview { fresh: true, reply });
        match timeout(STATISTICS_MAX, fresh).await {
            Ok(overview) => overview,
            Err(_) => self.ask(|reply| Command::Overview { fresh: false, reply }).await,
        }
    }
}
