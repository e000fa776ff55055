//! Connections of whoever asks by TCP: so many, and none that does nothing. Descriptors are needed for the relay.

use std::io;
use std::net::SocketAddr;
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

/// Before accepting again after an error, which may be that there is no descriptor left.
const RETRY: Duration = Duration::from_secs(1);

/// Accepts so many connections at a time, [`CONNECTIONS_MAX`] unless said otherwise.
pub(crate) struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS_MAX, IDLE_MAX)
    }

    /// So many connections at a time, each silent for so long.
    pub(crate) fn with(listener: TcpListener, connections_max: usize, idle_max: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), idle_max }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes the semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let idle = Box::pin(sleep(self.idle_max));
                    return (Connection { stream, idle, idle_max: self.idle_max, _place: place }, from);
                }
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
        (Connections { listener, places: Arc::new(Semaphore::new(places)), idle_max: IDLE }, at)
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
}
