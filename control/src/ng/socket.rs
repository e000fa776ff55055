//! Commands by WebSocket (RFC 6455), in the subprotocols of rtpengine: a message is a command, and its answer one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use raceway_ng::limits;
use tokio::time::timeout;

use super::service::Service;

/// With a cookie, as by UDP.
const NG: &str = "ng.rtpengine.com";
/// Without.
const PLAIN: &str = "ng-plain.rtpengine.com";

/// Between two pings to a proxy that is silent: one that is gone is noticed by its connection.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Takes a connection over, if it is in one of the subprotocols.
pub(super) fn take(upgrade: WebSocketUpgrade, service: Arc<Service>, from: IpAddr) -> Response {
    let upgrade =
        upgrade.protocols([NG, PLAIN]).max_message_size(limits::MESSAGE_MAX).max_frame_size(limits::MESSAGE_MAX);
    let plain = match upgrade.selected_protocol().and_then(|chosen| chosen.to_str().ok()) {
        Some(NG) => false,
        Some(PLAIN) => true,
        _ => return (StatusCode::BAD_REQUEST, format!("subprotocols are {NG} and {PLAIN}\n")).into_response(),
    };
    upgrade.on_upgrade(move |socket| converse(socket, service, from, plain))
}

async fn converse(mut socket: WebSocket, service: Arc<Service>, from: IpAddr, plain: bool) {
    loop {
        let message = match timeout(PING_EVERY, socket.recv()).await {
            Err(_) => {
                if socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) => return,
        };
        let is_text = matches!(message, Message::Text(_));
        let octets = match message {
            Message::Text(text) => text.as_bytes().to_vec(),
            Message::Binary(octets) => octets.to_vec(),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        let answer = match plain {
            true => Some(service.answer_plain(from, octets).await.1),
            false => service.answer(from, octets).await,
        };
        let Some(answer) = answer else { continue };
        let answer = match String::from_utf8(answer) {
            Ok(text) if is_text => Message::Text(text.into()),
            Ok(text) => Message::Binary(text.into_bytes().into()),
            Err(octets) => Message::Binary(octets.into_bytes().into()),
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}
