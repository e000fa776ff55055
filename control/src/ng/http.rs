//! Commands by HTTP: `POST /ng` with a cookie, `POST /ng-plain` without, `GET /ping`; WebSocket everywhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use raceway_ng::{Form, limits};
use tokio::net::TcpListener;

use super::service::Service;
use super::socket;
use super::tls::{Certificate, Secured};
use crate::http::connections::Connections;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may keep one and say nothing.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// As rtpengine has it.
const NG: &str = "application/x-rtpengine-ng";

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
struct Source(SocketAddr);

impl Connected<IncomingStream<'_, Connections>> for Source {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, Secured>> for Source {
    fn connect_info(stream: IncomingStream<'_, Secured>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Serves until the program ends.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    answer(connections(listener, &service), service).await;
}

/// The same by TLS.
pub(super) async fn serve_secured(listener: TcpListener, service: Arc<Service>, certificate: Arc<Certificate>) {
    answer(Secured::new(connections(listener, &service), certificate), service).await;
}

fn connections(listener: TcpListener, service: &Arc<Service>) -> Connections {
    let service = Arc::clone(service);
    Connections::with(listener, CONNECTIONS_MAX, IDLE_MAX).admitting(move |ip| service.is_admitted(ip))
}

async fn answer<L>(listener: L, service: Arc<Service>)
where
    L: Listener<Addr = SocketAddr>,
    Source: for<'a> Connected<IncomingStream<'a, L>>,
{
    let router = Router::new()
        .route("/ng", post(with_cookie).get(websocket))
        .route("/ng-plain", post(plain).get(websocket))
        .route("/ping", get(|| async { "pong\n" }))
        .fallback(websocket)
        .layer(DefaultBodyLimit::max(limits::MESSAGE_MAX))
        .with_state(service);
    let served = axum::serve(listener, router.into_make_service_with_connect_info::<Source>()).await;
    tracing::error!(?served, "ng by HTTP has ended");
}

/// Who is not to be answered: strangers, and web pages that someone on this machine looks at.
fn refuse(service: &Service, source: Source, headers: &HeaderMap) -> Option<Response> {
    if headers.contains_key(header::ORIGIN) {
        return Some((StatusCode::FORBIDDEN, "commands are not taken from web pages\n").into_response());
    }
    let admitted = service.admits(source.0.ip());
    (!admitted).then(|| (StatusCode::FORBIDDEN, "not in [ng] allow\n").into_response())
}

/// A WebSocket is told by its subprotocol, whatever its address is.
async fn websocket(
    State(service): State<Arc<Service>>,
    ConnectInfo(source): ConnectInfo<Source>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::NOT_FOUND, "POST /ng, POST /ng-plain, or a WebSocket\n").into_response();
    };
    refuse(&service, source, &headers).unwrap_or_else(|| socket::take(upgrade, service, source.0.ip()))
}

async fn with_cookie(
    State(service): State<Arc<Service>>,
    ConnectInfo(source): ConnectInfo<Source>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse(&service, source, &headers) {
        return refused;
    }
    match service.answer(source.0.ip(), body.to_vec()).await {
        Some(answer) => ([(header::CONTENT_TYPE, NG)], answer).into_response(),
        None => (StatusCode::BAD_REQUEST, "no cookie, or the same is being carried out\n").into_response(),
    }
}

async fn plain(
    State(service): State<Arc<Service>>,
    ConnectInfo(source): ConnectInfo<Source>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse(&service, source, &headers) {
        return refused;
    }
    let (form, answer) = service.answer_plain(source.0.ip(), body.to_vec()).await;
    let kind = match form {
        Form::Json => "application/json",
        Form::Bencode => NG,
    };
    ([(header::CONTENT_TYPE, kind)], answer).into_response()
}
