//! Commands by TCP: messages one after the other, each as long as its brackets say.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use raceway_ng::{Form, Response, StreamError, Warnings, frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::counters::Dropped;
use super::service::Service;
use crate::http::connections::Connections;

/// Connections at a time and listener; proxies keep one for each of their processes.
const CONNECTIONS_MAX: usize = 256;

/// How long a proxy may be silent: longer than any sends nothing, and a dead one is noticed by the keepalive.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Octets asked for at a time.
const READ: usize = 16 << 10;

/// Accepts until the program ends.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut connections = Connections::with(listener, CONNECTIONS_MAX, IDLE_MAX);
    loop {
        let (connection, from) = connections.accept().await;
        if service.admits(from.ip()) {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                if let Err(error) = converse(connection, from.ip(), &service).await {
                    tracing::debug!(%error, "ng by TCP");
                }
            });
        }
    }
}

/// Answers one message after the other until the proxy has no more.
async fn converse(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    from: IpAddr,
    service: &Arc<Service>,
) -> std::io::Result<()> {
    let mut stream = Vec::new();
    loop {
        let between = stream.iter().take_while(|octet: &&u8| octet.is_ascii_whitespace()).count();
        stream.drain(..between);
        match frame(&stream) {
            Ok(Some(length)) => {
                let rest = stream.split_off(length);
                let message = std::mem::replace(&mut stream, rest);
                if let Some(answer) = service.answer(from, message).await {
                    connection.write_all(&answer).await?;
                }
            }
            Ok(None) => {
                let length = stream.len();
                stream.reserve(READ);
                if connection.read_buf(&mut stream).await? == 0 {
                    return if length == 0 { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
                }
            }
            Err(error) => {
                service.let_go(Dropped::BrokenStream);
                return say_why(connection, &stream, error).await;
            }
        }
    }
}

/// Last words: behind the cookie, if there is one.
async fn say_why(mut connection: impl AsyncWrite + Unpin, stream: &[u8], error: StreamError) -> std::io::Result<()> {
    if let Ok((cookie, _)) = raceway_ng::split(stream) {
        let mut answer = cookie.to_vec();
        answer.push(b' ');
        answer.extend(Response::Error(error.to_string()).write(Form::Bencode, &Warnings::default()));
        connection.write_all(&answer).await?;
    }
    connection.shutdown().await
}
