//! From RTP to SRTP.

use std::fmt;

use crate::batch::Job;
use crate::cipher::{GCM_TAG, counter_iv, gcm_iv};
use crate::error::SrtpError;
use crate::header::{self, RTCP_CLEAR};
use crate::keys::{Keys, SessionKeys};
use crate::limits;
use crate::master::MasterKey;
use crate::sha1::{HmacKey, TAG};
use crate::stream::{Position, Streams, Table};
use crate::suite::Kind;

/// The E flag of an SRTCP packet: it is encrypted (RFC 3711 section 3.4).
pub(crate) const ENCRYPTED: u32 = 1 << 31;

/// The cryptographic context of what is sent with one master key, of any number of streams up to a limit.
///
/// Sequence numbers come from elsewhere, out of order too. An index is used once: another packet with it would be
/// encrypted with the same keystream.
pub struct Sender {
    keys: Keys,
    streams: Table,
}

/// A packet that waits for its tag.
pub(crate) struct Tagged {
    /// Octets of the buffer that the tag is of.
    pub octets: usize,
    /// Octets of the packet so far.
    end: usize,
}

impl Sender {
    /// With room for that many streams, of [`limits::STREAMS_MAX`] at most.
    #[must_use]
    pub fn new(master: &MasterKey, streams: usize) -> Self {
        Self { keys: Keys::new(master), streams: Table::new(streams) }
    }

    /// Takes another master key. The same one again changes nothing, whatever is said of streams, since its keystream must
    /// not begin anew; says whether it was another.
    pub fn rekey(&mut self, master: &MasterKey, streams: Streams) -> bool {
        if self.keys.master == *master {
            return false;
        }
        self.keys = Keys::new(master);
        if streams == Streams::Reset {
            self.streams.clear();
        }
        true
    }

    /// Where each stream stands.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.streams.positions()
    }

    /// A number that is another one when a stream has come or turned its rollover counter: then it is time to remember
    /// [`Self::positions`].
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.streams.changes()
    }

    /// Goes on with a stream of the same master key that was in another context. SRTCP indexes that may have been used since
    /// are left out ([`limits::RTCP_INDEX_SKIP`]).
    ///
    /// # Errors
    /// There is no room for another stream.
    pub fn resume(&mut self, position: &Position) -> Result<(), SrtpError> {
        self.streams.resume(position, limits::RTCP_INDEX_SKIP)
    }

    /// Octets that protection appends to a packet.
    #[must_use]
    pub fn overhead(&self, kind: Kind) -> usize {
        self.keys.overhead(kind)
    }

    pub(crate) fn hmac(&self, kind: Kind) -> &HmacKey {
        &self.keys.of(kind).hmac
    }

    /// Encrypts. A packet of counter mode waits for its tag then.
    pub(crate) fn protect(&mut self, job: &mut Job<'_>) -> Result<Option<Tagged>, SrtpError> {
        match job.kind {
            Kind::Rtp => self.protect_rtp(job),
            Kind::Rtcp => self.protect_rtcp(job),
        }
    }

    fn protect_rtp(&mut self, job: &mut Job<'_>) -> Result<Option<Tagged>, SrtpError> {
        let header = header::rtp(job.packet())?;
        self.check(job)?;
        let place = self.streams.place(header.ssrc)?;
        let mut stream = self.streams.at_or_new(place, header.ssrc);
        let index = stream.rtp.estimate(header.sequence);
        if index >= limits::RTP_PACKETS_MAX {
            return Err(SrtpError::Exhausted);
        }
        stream.rtp.check(index)?;
        stream.rtp.accept(index);
        self.streams.put(place, stream);
        self.keys.count(Kind::Rtp);
        let (keys, end) = (&self.keys.rtp, job.octets);
        let clear = if self.keys.master.encrypts(Kind::Rtp) { header.octets } else { end };
        if self.keys.suite().is_gcm() {
            let (clear, payload) = job.packet_mut().split_at_mut(clear);
            let tag = keys.cipher.seal(&gcm_iv(&keys.salt, header.ssrc, index), clear, payload);
            job.octets = put(job.buffer, end, &[&tag, &self.keys.master.mki]);
            return Ok(None);
        }
        let iv = counter_iv(&keys.salt, header.ssrc, index);
        keys.cipher.apply_keystream(&iv, &mut job.packet_mut()[clear..]);
        // The tag is of the packet and the rollover counter, which is not sent (RFC 3711 section 4.2).
        let octets = put(job.buffer, end, &[&((index >> 16) as u32).to_be_bytes()]);
        Ok(Some(Tagged { octets, end }))
    }

    fn protect_rtcp(&mut self, job: &mut Job<'_>) -> Result<Option<Tagged>, SrtpError> {
        let ssrc = header::rtcp(job.packet())?;
        self.check(job)?;
        let place = self.streams.place(ssrc)?;
        let mut stream = self.streams.at_or_new(place, ssrc);
        let index = stream.rtcp.highest().map_or(0, |highest| highest + 1);
        if index >= limits::RTCP_PACKETS_MAX {
            return Err(SrtpError::Exhausted);
        }
        stream.rtcp.accept(index);
        self.streams.put(place, stream);
        self.keys.count(Kind::Rtcp);
        let (keys, end) = (&self.keys.rtcp, job.octets);
        let encrypts = self.keys.master.encrypts(Kind::Rtcp);
        let word = (if encrypts { ENCRYPTED } else { 0 } | index as u32).to_be_bytes();
        if self.keys.suite().is_gcm() {
            let tag = keys.seal_rtcp(job, &gcm_iv(&keys.salt, ssrc, index), &word, encrypts);
            job.octets = put(job.buffer, end, &[&tag, &word, &self.keys.master.mki]);
            return Ok(None);
        }
        if encrypts {
            keys.cipher.apply_keystream(&counter_iv(&keys.salt, ssrc, index), &mut job.packet_mut()[RTCP_CLEAR..]);
        }
        let octets = put(job.buffer, end, &[&word]);
        Ok(Some(Tagged { octets, end: octets }))
    }

    /// Whether the packet fits its buffer when protected, and the key may protect it.
    fn check(&self, job: &Job<'_>) -> Result<(), SrtpError> {
        if job.buffer.len() - job.octets < self.overhead(job.kind) {
            return Err(SrtpError::Room);
        }
        self.keys.check_lifetime(job.kind, true)
    }

    /// Appends key identifier and tag.
    pub(crate) fn append(&self, job: &mut Job<'_>, tagged: &Tagged, tag: &[u8; TAG]) {
        let tag = &tag[..self.keys.suite().tag_octets(job.kind)];
        job.octets = put(job.buffer, tagged.end, &[&self.keys.master.mki, tag]);
    }

    #[cfg(test)]
    pub(crate) fn keys_mut(&mut self) -> &mut Keys {
        &mut self.keys
    }
}

impl SessionKeys {
    /// The tag of a compound packet, and of the index that will stand behind it (RFC 7714 sections 9.2 and 9.3).
    fn seal_rtcp(&self, job: &mut Job<'_>, iv: &[u8; 12], word: &[u8; 4], encrypts: bool) -> [u8; GCM_TAG] {
        if encrypts {
            let (clear, body) = job.packet_mut().split_at_mut(RTCP_CLEAR);
            return self.cipher.seal(iv, &rtcp_associated(clear, word), body);
        }
        let signed = put(job.buffer, job.octets, &[word]);
        self.cipher.seal(iv, &job.buffer[..signed], &mut [])
    }
}

/// What GCM authenticates beside the encrypted part of an SRTCP packet (RFC 7714 section 9.2).
pub(crate) fn rtcp_associated(clear: &[u8], word: &[u8; 4]) -> [u8; RTCP_CLEAR + 4] {
    let mut associated = [0; RTCP_CLEAR + 4];
    put(&mut associated, 0, &[clear, word]);
    associated
}

/// Writes parts one after the other; where they end.
fn put(buffer: &mut [u8], at: usize, parts: &[&[u8]]) -> usize {
    parts.iter().fold(at, |at, part| {
        buffer[at..at + part.len()].copy_from_slice(part);
        at + part.len()
    })
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: Vec<_> = self.positions().collect();
        f.debug_struct("Sender").field("master", &self.keys.master).field("streams", &streams).finish()
    }
}
