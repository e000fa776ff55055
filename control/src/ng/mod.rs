//! Commands of SIP proxies: by UDP, TCP, HTTP, HTTPS and WebSocket in, to the calls, answers out.
//!
//! What a message means is `raceway-ng`'s; what becomes of a call is decided in the link thread, which owns calls and the
//! relay. This module has the sockets, and the one place that every message goes through: [`Service`].

mod counters;
mod http;
mod service;
mod socket;
mod tcp;
mod tls;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use raceway_config::Ng;

pub use counters::{Counters, Dropped, Outcome};
pub use service::Service;
pub use tls::Certificate;

use crate::boot::addresses::MachineAddresses;

/// Sockets that are bound, before the process gives up its rights.
#[derive(Debug, Default)]
pub struct Sockets {
    udp: Vec<std::net::UdpSocket>,
    tcp: Vec<std::net::TcpListener>,
    http: Option<std::net::TcpListener>,
    https: Option<std::net::TcpListener>,
}

impl Sockets {
    /// Binds all that is configured. A default address that another program has is let go with a warning: that program may
    /// be the one whose place this one is to take.
    ///
    /// # Errors
    /// When an address that was written cannot be had.
    pub fn bind(ng: &Ng, machine: &MachineAddresses) -> io::Result<Self> {
        let mut sockets = Self::default();
        for address in &ng.listen {
            match (bind_udp(*address, machine), std::net::TcpListener::bind(address)) {
                (Ok(udp), Ok(tcp)) => {
                    sockets.udp.extend(udp);
                    sockets.tcp.push(tcp);
                }
                (Err(error), _) | (_, Err(error)) if ng.listen_written => return Err(about(*address, &error)),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%address, %error, "no commands of SIP proxies are taken; write [ng] listen");
                }
            }
        }
        let http = ng.http_listen.map(|address| std::net::TcpListener::bind(address).map_err(|e| about(address, &e)));
        sockets.http = http.transpose()?;
        let https = ng.https.as_ref().map(|https| https.listen);
        let https = https.map(|address| std::net::TcpListener::bind(address).map_err(|e| about(address, &e)));
        sockets.https = https.transpose()?;
        sockets.udp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        sockets
            .tcp
            .iter()
            .chain(&sockets.http)
            .chain(&sockets.https)
            .try_for_each(|socket| socket.set_nonblocking(true))?;
        Ok(sockets)
    }

    /// Serves them until the program ends; needs a runtime.
    ///
    /// # Errors
    /// When the runtime does not take them.
    pub fn serve(self, service: &Arc<Service>, certificate: Option<Arc<Certificate>>) -> io::Result<()> {
        for socket in self.udp {
            tokio::spawn(udp::serve(tokio::net::UdpSocket::from_std(socket)?, Arc::clone(service)));
        }
        for listener in self.tcp {
            tokio::spawn(tcp::serve(tokio::net::TcpListener::from_std(listener)?, Arc::clone(service)));
        }
        if let Some(listener) = self.http {
            tokio::spawn(http::serve(tokio::net::TcpListener::from_std(listener)?, Arc::clone(service)));
        }
        if let (Some(listener), Some(certificate)) = (self.https, certificate) {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(http::serve_secured(listener, Arc::clone(service), certificate));
        }
        Ok(())
    }
}

/// One socket for each address that a wildcard stands for: an answer must leave from where the command went.
fn bind_udp(address: SocketAddr, machine: &MachineAddresses) -> io::Result<Vec<std::net::UdpSocket>> {
    if !address.ip().is_unspecified() {
        return Ok(vec![std::net::UdpSocket::bind(address)?]);
    }
    let family = machine.all.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
    family.map(|ip| std::net::UdpSocket::bind(SocketAddr::new(*ip, address.port()))).collect()
}

fn about(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
