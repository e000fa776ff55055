//! TLS for commands by HTTPS, with certificates that can be exchanged.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::RwLock;
use std::time::Duration;

use axum::serve::Listener;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use raceway_config::{Config, Https, Problem};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use crate::http::connections::{Connection, Connections};

/// For a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The certificate that new connections are shown.
pub struct Certificate(RwLock<SslAcceptor>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

impl Certificate {
    /// Reads the files of a configuration; none if it has no HTTPS.
    ///
    /// # Errors
    /// Which key of the configuration names a file that does not serve, and why.
    pub fn load(config: &Config) -> Result<Option<Self>, Problem> {
        let Some(Https { certificate, key, .. }) = &config.ng.https else { return Ok(None) };
        for (name, path) in [("ng.https_certificate", certificate), ("ng.https_key", key)] {
            if let Err(error) = std::fs::read(path) {
                let right = "write a file that the account of raceway-control may read";
                return Err(config.origin.problem(name, format!("\"{}\": {error}", path.display()), right));
            }
        }
        let wrong = |name, path: &std::path::Path, what: &str, right| {
            config.origin.problem(name, format!("\"{}\" {what}", path.display()), right)
        };
        let acceptor = || SslAcceptor::mozilla_intermediate_v5(SslMethod::tls());
        let mut acceptor = acceptor()
            .map_err(|error| config.origin.problem("ng.https_listen", error.to_string(), "without TLS: off"))?;
        acceptor.set_certificate_chain_file(certificate).map_err(|_| {
            let right = "write a PEM file: the server's certificate, then those that it is signed by";
            wrong("ng.https_certificate", certificate, "has no certificate in PEM", right)
        })?;
        acceptor.set_private_key_file(key, SslFiletype::PEM).and_then(|()| acceptor.check_private_key()).map_err(
            |_| {
                let right = "write the PEM file of the private key, without password";
                wrong("ng.https_key", key, "has no private key in PEM, or not that of the certificate", right)
            },
        )?;
        Ok(Some(Self(RwLock::new(acceptor.build()))))
    }

    /// New connections are shown the other one from now on.
    pub fn replace(&self, other: Self) {
        let other = other.0.into_inner().expect("nobody panics with it");
        *self.0.write().expect("nobody panics with it") = other;
    }

    fn session(&self) -> Result<Ssl, ErrorStack> {
        Ssl::new(self.0.read().expect("nobody panics with it").context())
    }
}

/// Connections that have shaken hands. Those that have not hold up nobody else.
pub(super) struct Secured {
    connections: Connections,
    certificate: std::sync::Arc<Certificate>,
    handshakes: JoinSet<Option<(SslStream<Connection>, SocketAddr)>>,
}

impl Secured {
    pub(super) fn new(connections: Connections, certificate: std::sync::Arc<Certificate>) -> Self {
        Self { connections, certificate, handshakes: JoinSet::new() }
    }
}

impl Listener for Secured {
    type Io = SslStream<Connection>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (connection, from) = self.connections.accept() => match self.certificate.session() {
                    Ok(session) => {
                        self.handshakes.spawn(handshake(session, connection, from));
                    }
                    Err(error) => tracing::warn!(%error, "no TLS for a proxy"),
                },
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(secured)) = done {
                        return secured;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connections.local_addr()
    }
}

async fn handshake(
    session: Ssl,
    connection: Connection,
    from: SocketAddr,
) -> Option<(SslStream<Connection>, SocketAddr)> {
    let mut stream = SslStream::new(session, connection).ok()?;
    match timeout(HANDSHAKE_MAX, Pin::new(&mut stream).accept()).await {
        Ok(Ok(())) => Some((stream, from)),
        Ok(Err(error)) => {
            tracing::debug!(%from, %error, "ng by HTTPS: no handshake");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    fn loaded(certificate: &str, key: &str) -> String {
        let text = format!(
            "[ng]\nhttps_listen = \"127.0.0.1:2226\"\nhttps_certificate = \"{certificate}\"\nhttps_key = \"{key}\"\n"
        );
        let config = raceway_config::parse("raceway.toml", &text).unwrap_or_else(|problems| panic!("{problems}"));
        Certificate::load(&config).map_or_else(|problem| problem.to_string(), |found| format!("{:?}", found.is_some()))
    }

    #[test]
    fn files_that_do_not_serve_are_named() {
        let directory = Directory::new("tls");
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("text"), "nothing").expect("our directory");
        assert!(loaded(&path("none"), &path("text")).starts_with("raceway.toml:3: ng.https_certificate: \"/"));
        let told = loaded(&path("text"), &path("text"));
        assert!(told.contains("has no certificate in PEM; write a PEM file"), "{told}");
        let (one, other) = (crate::testing::self_signed(), crate::testing::self_signed());
        std::fs::write(path("cert"), &one.0).expect("our directory");
        std::fs::write(path("key"), &one.1).expect("our directory");
        std::fs::write(path("other"), &other.1).expect("our directory");
        assert_eq!(loaded(&path("cert"), &path("key")), "true");
        let told = loaded(&path("cert"), &path("other"));
        assert!(told.starts_with("raceway.toml:4: ng.https_key:") && told.contains("not that of the"), "{told}");
    }
}
