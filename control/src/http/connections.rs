//! Connections of whoever asks by TCP: so many, and none that does nothing. Descriptors are needed for the relay.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long nothing may be read or written before a connection ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Of them, those that may be of who is not admitted: enough to tell an operator so.
const STRANGERS_MAX: usize = 8;

/// Before accepting again after an error, which may be that there is no descriptor left.
const RETRY: Duration = Duration::from_secs(1);

/// Accepts so many connections at a time, [`CONNECTIONS_MAX`] unless said otherwise.
pub(crate) struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
    admission: Option<Admission>,
}

/// Who is admitted; others share a few places of their own, so that they keep nobody out.
struct Admission {
    admits: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    strangers: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS_MAX, IDLE_MAX)
    }

    /// So many connections at a time, each silent for so long.
    pub(crate) fn with(listener: TcpListener, connections_max: usize, idle_max: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), idle_max, admission: None }
    }

    /// The same, with only a few places for those who are not admitted.
    pub(crate) fn admitting(self, admits: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        Self { admission: Some(Admission { admits: Box::new(admits), strangers }), ..self }
    }

    /// The place of a connection from `from`, given `place`; none if it has to go.
    fn place_for(
        &self,
        from: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> Result<OwnedSemaphorePermit, OwnedSemaphorePermit> {
        let stranger = self.admission.as_ref().filter(|admission| !(admission.admits)(from.ip()));
        match stranger.map(|admission| Arc::clone(&admission.strangers).try_acquire_owned()) {
            None => Ok(place),
            Some(Ok(strangers)) => Ok(strangers),
            Some(Err(_)) => Err(place),
        }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let mut place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes the semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => match self.place_for(from, place) {
                    Ok(place) => {
                        let idle = Box::pin(sleep(self.idle_max));
                        return (Connection { stream, idle, idle_max: self.idle_max, _place: place }, from);
                    }
                    Err(kept) => {
                        tracing::debug!(%from, "a connection of who is not admitted is one too many");
                        place = kept;
                    }
                },
                Err(error) => {
                    tracing::debug!(%error, "a connection cannot be accepted");
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing happens on it.
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// What became of a step: progress starts the time anew, and waiting ends with it.
    fn timed<T>(&mut self, context: &mut Context<'_>, step: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if step.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.idle_max);
            return step;
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.timed(context, step)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write(context, octets);
        self.timed(context, step)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    use super::*;

    const IDLE: Duration = Duration::from_millis(50);

    async fn connections(places: usize) -> (Connections, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        (Connections::with(listener, places, IDLE), at)
    }

    #[tokio::test]
    async fn a_connection_that_does_nothing_ends() {
        let (mut connections, at) = connections(1).await;
        let _silent = TcpStream::connect(at).await.expect("listening");
        let (mut connection, _) = connections.accept().await;
        let ended = connection.read_u8().await.expect_err("nothing is said");
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn no_more_connections_are_accepted_than_there_are_places() {
        let (mut connections, at) = connections(1).await;
        let _clients = [TcpStream::connect(at).await, TcpStream::connect(at).await];
        let (first, _) = connections.accept().await;
        assert!(timeout(IDLE, connections.accept()).await.is_err(), "the place is taken");
        drop(first);
        timeout(10 * IDLE, connections.accept()).await.expect("the place is free");
    }

    #[tokio::test]
    async fn whoever_is_not_admitted_keeps_nobody_out() {
        let (connections, at) = connections(1).await;
        let mut connections = connections.admitting(|ip| ip != IpAddr::from([127, 0, 0, 2]));
        let from = |ip: [u8; 4]| async move {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind((ip, 0).into()).expect("loopback is ours");
            socket.connect(at).await.expect("listening")
        };
        let mut held = Vec::new();
        for _ in 0..STRANGERS_MAX {
            let client = from([127, 0, 0, 2]).await;
            held.push((
                client,
                timeout(10 * IDLE, connections.accept()).await.expect("told that it is not admitted").0,
            ));
        }
        let _one_more = from([127, 0, 0, 2]).await;
        let _admitted = from([127, 0, 0, 1]).await;
        let (_connection, source) = timeout(10 * IDLE, connections.accept()).await.expect("there is a place for it");
        assert_eq!(source.ip(), IpAddr::from([127, 0, 0, 1]));
    }
}
