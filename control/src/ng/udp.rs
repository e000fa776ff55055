//! Commands by UDP.

use std::sync::Arc;

use raceway_ng::limits::MESSAGE_MAX;
use tokio::net::UdpSocket;

use super::service::Service;

/// Answers until the program ends.
pub(super) async fn serve(socket: UdpSocket, service: Arc<Service>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; MESSAGE_MAX + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // A proxy that went away (ICMP) is no reason to end; anything else will be there again at once.
                tracing::debug!(%error, "ng by UDP");
                tokio::task::yield_now().await;
                continue;
            }
        };
        if !service.admits(from.ip()) {
            continue;
        }
        let (service, socket, message) = (Arc::clone(&service), Arc::clone(&socket), buffer[..length].to_vec());
        tokio::spawn(async move {
            if let Some(answer) = service.answer(from.ip(), message).await
                && let Err(error) = socket.send_to(&answer, from).await
            {
                tracing::debug!(%error, octets = answer.len(), "an answer by UDP is lost");
            }
        });
    }
}
