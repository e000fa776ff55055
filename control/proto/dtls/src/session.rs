//! The library's half of an association: octets in and out of OpenSSL, and no clock that matters.
//!
//! OpenSSL has retransmission of its own, by the machine's clock and after a second. It is left on; ours (`flight`) comes
//! before it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use openssl::ssl::{ErrorCode, Ssl, SslStream};
use openssl::x509::X509;
use zeroize::Zeroizing;

use crate::association::Role;
use crate::certificate::{Identity, LibraryError, reason};
use crate::keys::Profile;
use crate::limits;

/// The exporter's label (RFC 5764 section 4.2).
const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Datagrams between OpenSSL and the association.
#[derive(Debug, Default)]
struct Pipe {
    input: VecDeque<Vec<u8>>,
    output: VecDeque<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.input.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.output.len() < limits::FLIGHT_MAX {
            self.output.push_back(datagram.to_vec());
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far a session is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The handshake goes on.
    Handshake,
    /// It is over.
    Done,
}

/// A DTLS session.
pub(crate) struct Session(SslStream<Pipe>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub fn new(role: Role, identity: &Identity, profiles: &[Profile]) -> Result<Self, LibraryError> {
        let mut ssl = Ssl::new(&identity.context)?;
        let names: Vec<_> = profiles.iter().map(|profile| profile.name()).collect();
        ssl.set_tlsext_use_srtp(&names.join(":"))?;
        ssl.set_mtu(limits::MTU)?;
        match role {
            Role::Active => ssl.set_connect_state(),
            Role::Passive => ssl.set_accept_state(),
        }
        Ok(Self(SslStream::new(ssl, Pipe::default())?))
    }

    /// Gives it a datagram, or lets it begin.
    ///
    /// # Errors
    /// The handshake has failed.
    pub fn advance(&mut self, datagram: Option<Vec<u8>>) -> Result<Progress, String> {
        self.0.get_mut().input.extend(datagram);
        match self.0.do_handshake() {
            Ok(()) => Ok(Progress::Done),
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(Progress::Handshake),
            Err(error) => Err(error.ssl_error().map_or_else(|| "the session has ended".to_owned(), reason)),
        }
    }

    /// What it wants sent.
    pub fn datagrams(&mut self) -> Vec<Vec<u8>> {
        self.0.get_mut().output.drain(..).collect()
    }

    /// The peer's certificate, as soon as it has shown one.
    pub fn peer_certificate(&self) -> Option<X509> {
        self.0.ssl().peer_certificate()
    }

    /// The profile that was agreed on and the keys for it; none if there is no such profile.
    pub fn keying_material(&self) -> Option<(Profile, Zeroizing<Vec<u8>>)> {
        let ssl = self.0.ssl();
        let number = ssl.selected_srtp_profile()?.id().as_raw();
        let profile = Profile::ALL.into_iter().find(|profile| u64::from(profile.number()) == number)?;
        let (key, salt) = profile.octets();
        let mut material = Zeroizing::new(vec![0; 2 * (key + salt)]);
        ssl.export_keying_material(&mut material, LABEL, None).ok()?;
        Some((profile, material))
    }

    /// What tells the peer that the session has ended: nothing if it cannot be made.
    pub fn close(&mut self) -> Vec<Vec<u8>> {
        // There is nobody to tell that it did not work.
        let _ = self.0.shutdown();
        self.datagrams()
    }
}
