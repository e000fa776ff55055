//! HTTP, the little of it that a POST needs.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use raceway_config::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// For connection, request and answer together.
const PATIENCE: Duration = Duration::from_secs(5);

/// Octets of an answer that are read, so that the connection can be used again.
const ANSWER_MAX: usize = 64 << 10;

/// Why a notice was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// No connection, or it broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// No HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// Another answer than one of success.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// No answer.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
}

impl PostError {
    /// Whether trying again may help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::Io(_) | Self::Tls(_) | Self::Http(_) | Self::Slow => true,
        }
    }
}

/// Keeps its connection while it serves.
#[derive(Debug, Default)]
pub(super) struct Client(Option<(Url, SendRequest<Full<Bytes>>)>);

impl Client {
    /// Posts JSON.
    pub(super) async fn post(&mut self, url: &Url, text: Bytes) -> Result<(), PostError> {
        let known = self.0.take().filter(|(known, connection)| known == url && !connection.is_closed());
        let posted = timeout(PATIENCE, post(url, text, known.map(|(_, connection)| connection)));
        let connection = posted.await.map_err(|_| PostError::Slow)??;
        self.0 = connection.map(|connection| (url.clone(), connection));
        Ok(())
    }
}

/// Posts by a connection that is there or by a new one; gives it back if it can be used again.
async fn post(
    url: &Url,
    text: Bytes,
    known: Option<SendRequest<Full<Bytes>>>,
) -> Result<Option<SendRequest<Full<Bytes>>>, PostError> {
    let is_old = known.is_some();
    let mut connection = match known {
        Some(connection) => connection,
        None => connect(url).await?,
    };
    let answer = match ask(&mut connection, url, text.clone()).await {
        // The other side may have ended a connection that was idle just when it was used again.
        Err(error) if is_old && (error.is_canceled() || error.is_closed() || error.is_incomplete_message()) => {
            connection = connect(url).await?;
            ask(&mut connection, url, text).await?
        }
        answer => answer?,
    };
    let (head, body) = answer.into_parts();
    let rest = http_body_util::Limited::new(body, ANSWER_MAX).collect().await;
    if !head.status.is_success() {
        return Err(PostError::Status(head.status));
    }
    Ok(rest.is_ok().then_some(connection))
}

async fn ask(
    connection: &mut SendRequest<Full<Bytes>>,
    url: &Url,
    text: Bytes,
) -> hyper::Result<axum::http::Response<hyper::body::Incoming>> {
    let host = url.to_string();
    let host = host.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let request = Request::post(&url.path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("raceway/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(text))
        .expect("the configuration has checked the path");
    connection.send_request(request).await
}

async fn connect(url: &Url) -> Result<SendRequest<Full<Bytes>>, PostError> {
    let stream = TcpStream::connect((&*url.host, url.port)).await?;
    stream.set_nodelay(true)?;
    if !url.https {
        return serve(stream).await;
    }
    let tls = |error: &dyn std::fmt::Display| PostError::Tls(error.to_string());
    let connector = SslConnector::builder(SslMethod::tls()).map_err(|error| tls(&error))?.build();
    let session = connector.configure().and_then(|configuration| configuration.into_ssl(&url.host));
    let mut stream = SslStream::new(session.map_err(|error| tls(&error))?, stream).map_err(|error| tls(&error))?;
    Pin::new(&mut stream).connect().await.map_err(|error| tls(&error))?;
    serve(stream).await
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, PostError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection for notices");
        }
    });
    Ok(sender)
}
