//! SRTP of the sockets whose parties have it.

use std::slice;

use raceway_srtp::{Batch, Job, Kind, Lanes, Receiver, Sender, SrtpError};

use crate::plan::{Keys, Port};

/// Streams of a socket, each way: the layers of one camera.
const STREAMS: usize = 4;

/// Both directions of each socket that has keys.
pub struct Secure {
    batch: Batch,
    /// By number of the socket; empty if none has keys.
    parties: Vec<Option<Box<Party>>>,
}

struct Party {
    out: Sender,
    back: Receiver,
}

impl Secure {
    /// As the sockets have keys.
    pub fn new(ports: &mut [Port]) -> Self {
        let any = ports.iter().any(|port| port.keys.is_some());
        let party = |port: &mut Port| port.keys.take().map(|keys| Box::new(Party::new(&keys)));
        let parties = if any { ports.iter_mut().map(party).collect() } else { Vec::new() };
        Self { batch: Batch::new(Lanes::detect()), parties }
    }

    /// From now on a socket has these keys, or none.
    pub fn set(&mut self, port: u32, keys: Option<&Keys>) {
        let port = port as usize;
        if keys.is_some() && self.parties.len() <= port {
            self.parties.resize_with(port + 1, || None);
        }
        if let Some(party) = self.parties.get_mut(port) {
            *party = keys.map(|keys| Box::new(Party::new(keys)));
        }
    }

    /// Protects a packet that is to leave by a socket: its octets then. Nothing if it cannot be protected.
    #[inline]
    pub fn protect(&mut self, port: u32, kind: Kind, buffer: &mut [u8], octets: usize) -> Option<usize> {
        let Some(Some(party)) = self.parties.get_mut(port as usize) else { return Some(octets) };
        let mut job = [Job::new(0, kind, buffer, octets)];
        self.batch.protect(slice::from_mut(&mut party.out), &mut job);
        let [job] = job;
        job.result.ok().map(|()| job.octets)
    }

    /// Makes a datagram that came to a socket readable: its octets then.
    ///
    /// # Errors
    /// It is not what the relay would have sent, or came before.
    #[inline]
    pub fn unprotect(&mut self, port: u32, buffer: &mut [u8]) -> Result<usize, SrtpError> {
        let octets = buffer.len();
        let Some(Some(party)) = self.parties.get_mut(port as usize) else { return Ok(octets) };
        let kind = Kind::of(buffer).ok_or(SrtpError::Version)?;
        let mut job = [Job::new(0, kind, buffer, octets)];
        self.batch.unprotect(slice::from_mut(&mut party.back), &mut job);
        let [job] = job;
        job.result.map(|()| job.octets)
    }
}

impl Party {
    fn new(keys: &Keys) -> Self {
        Self { out: Sender::new(&keys.ours, STREAMS), back: Receiver::new(&keys.theirs, STREAMS) }
    }
}
