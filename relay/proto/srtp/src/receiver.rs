//! From SRTP to RTP.
//!
//! Nothing a packet says is believed before its tag is right: until then the context stays as it was, but for a count of
//! failures.

use std::fmt;

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;

use crate::batch::Job;
use crate::cipher::{GCM_TAG, counter_iv, gcm_iv};
use crate::error::SrtpError;
use crate::header::{self, RTCP_CLEAR, RtpHeader};
use crate::keys::{Keys, SessionKeys};
use crate::limits;
use crate::master::MasterKey;
use crate::sender::{ENCRYPTED, rtcp_associated};
use crate::sha1::{HmacKey, TAG};
use crate::stream::{Position, Stream, Streams, Table};
use crate::suite::Kind;

/// The cryptographic context of what is received with one master key, of any number of streams up to a limit, and for a
/// while with the key before it.
///
/// A packet that fails authentication may be one of a stream whose rollover counter is another than thought. That is looked
/// into at the second failure in a row, and then at every [`limits::RECOVERY_INTERVAL`]th, so that forged packets cost
/// little more than one tag each.
pub struct Receiver {
    current: Keys,
    previous: Option<Keys>,
    streams: Table,
    /// Packets in a row that failed authentication.
    failures: u32,
}

/// Which of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Current,
    Previous,
}

/// Where the parts of a protected packet are.
#[derive(Clone, Copy)]
struct Layout {
    /// End of what may be encrypted.
    body: usize,
    /// The SRTCP index, for SRTCP.
    word: usize,
    mki: usize,
    tag: usize,
    tag_octets: usize,
}

/// What a packet's tag is of, most likely: the current key and the estimated rollover counter.
pub(crate) struct Guess {
    /// Octets of the buffer that the tag is of.
    pub octets: usize,
    roc: u32,
    /// What stood where the rollover counter is now.
    displaced: Option<[u8; 4]>,
}

/// A tag that was computed for a [`Guess`].
#[derive(Clone, Copy)]
pub(crate) struct GuessedTag<'a> {
    roc: u32,
    tag: &'a [u8; TAG],
}

impl Guess {
    /// With the tag, after which the packet is as it was.
    pub fn tagged<'a>(&self, job: &mut Job<'_>, tag: &'a [u8; TAG]) -> GuessedTag<'a> {
        if let Some(displaced) = self.displaced {
            job.buffer[self.octets - 4..self.octets].copy_from_slice(&displaced);
        }
        GuessedTag { roc: self.roc, tag }
    }
}

impl Receiver {
    /// With room for that many streams, of [`limits::STREAMS_MAX`] at most.
    #[must_use]
    pub fn new(master: &MasterKey, streams: usize) -> Self {
        Self { current: Keys::new(master), previous: None, streams: Table::new(streams), failures: 0 }
    }

    /// Takes another master key. With [`Streams::Keep`] packets of the key before are taken too, until
    /// [`Self::forget_previous`]. The same key again changes nothing; says whether it was another.
    pub fn rekey(&mut self, master: &MasterKey, streams: Streams) -> bool {
        if self.current.master == *master {
            return false;
        }
        let before = std::mem::replace(&mut self.current, Keys::new(master));
        match streams {
            Streams::Keep => {
                self.previous = Some(before);
                self.streams.iter_mut().for_each(|stream| stream.fresh = true);
            }
            Streams::Reset => {
                self.previous = None;
                self.streams.clear();
            }
        }
        self.failures = 0;
        true
    }

    /// Takes no more packets of the key before the current one. While there is one, a forged packet costs two tags.
    pub fn forget_previous(&mut self) {
        self.previous = None;
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

    /// Goes on with a stream of the same master key that was in another context. What that context saw is not taken again;
    /// nor are the few packets that came late just then.
    ///
    /// # Errors
    /// There is no room for another stream.
    pub fn resume(&mut self, position: &Position) -> Result<(), SrtpError> {
        self.streams.resume(position, 0)
    }

    pub(crate) fn hmac(&self, kind: Kind) -> &HmacKey {
        &self.current.of(kind).hmac
    }

    /// Makes a packet of counter mode ready for its tag to be computed, as [`Self::unprotect`] will most likely ask for.
    pub(crate) fn guess(&mut self, job: &mut Job<'_>) -> Option<Guess> {
        if self.current.suite().is_gcm() {
            return None;
        }
        let layout = Layout::of(&self.current, job.kind, job.packet()).ok()?;
        if job.kind == Kind::Rtcp {
            return Some(Guess { octets: layout.word + 4, roc: 0, displaced: None });
        }
        let header = header::rtp(&job.packet()[..layout.body]).ok()?;
        let place = self.streams.place(header.ssrc).ok()?;
        let list = self.streams.at_or_new(place, header.ssrc).rtp;
        let index = list.estimate(header.sequence);
        list.check(index).ok()?;
        let roc = (index >> 16) as u32;
        let displaced = std::mem::replace(room(job.buffer, layout.body), roc.to_be_bytes());
        Some(Guess { octets: layout.body + 4, roc, displaced: Some(displaced) })
    }

    /// Authenticates and decrypts. `tag` is one that was computed already.
    pub(crate) fn unprotect(
        &mut self,
        job: &mut Job<'_>,
        tag: Option<GuessedTag<'_>>,
        spare: &mut [u8],
    ) -> Result<(), SrtpError> {
        let result = match job.kind {
            Kind::Rtp => self.unprotect_rtp(job, tag, spare),
            Kind::Rtcp => self.unprotect_rtcp(job, tag, spare),
        };
        match result {
            Ok(()) => self.failures = 0,
            Err(SrtpError::Authentication) => self.failures = self.failures.wrapping_add(1),
            Err(_) => {}
        }
        result
    }

    /// Whether it is time to look for another rollover counter.
    fn recovers(&self) -> bool {
        self.failures % limits::RECOVERY_INTERVAL == 1
    }

    fn unprotect_rtp(
        &mut self,
        job: &mut Job<'_>,
        tag: Option<GuessedTag<'_>>,
        spare: &mut [u8],
    ) -> Result<(), SrtpError> {
        let header = header::rtp(job.packet())?;
        let place = self.streams.place(header.ssrc)?;
        let mut stream = self.streams.at_or_new(place, header.ssrc);
        let attempts = self.attempts(&stream, header.sequence)?;
        let again = attempts.len() > 1;
        let mut refused = None;
        for attempt in attempts {
            let keys = self.keys(attempt.which);
            let layout = match Layout::of(keys, Kind::Rtp, job.packet()) {
                Ok(layout) if layout.body < header.octets => Err(SrtpError::Truncated),
                other => other,
            };
            let opened = layout.and_then(|layout| {
                keys.check_lifetime(Kind::Rtp, false)?;
                let guessed =
                    tag.filter(|tag| attempt.which == Which::Current && u64::from(tag.roc) == attempt.index >> 16);
                let spare = if again { Some(&mut *spare) } else { None };
                keys.open_rtp(job, &layout, &header, attempt.index, guessed, spare).map(|()| layout.body)
            });
            match opened {
                Ok(octets) => {
                    if attempt.restarts {
                        stream.rtp.restart(attempt.index);
                    } else {
                        stream.rtp.accept(attempt.index);
                    }
                    stream.fresh &= attempt.which == Which::Previous;
                    self.accept(Kind::Rtp, attempt.which, place, stream);
                    job.octets = octets;
                    return Ok(());
                }
                Err(error) => refused = refused.max_by_weight(error),
            }
        }
        Err(refused.unwrap_or(SrtpError::Authentication))
    }

    fn unprotect_rtcp(
        &mut self,
        job: &mut Job<'_>,
        tag: Option<GuessedTag<'_>>,
        spare: &mut [u8],
    ) -> Result<(), SrtpError> {
        let ssrc = header::rtcp(job.packet())?;
        let place = self.streams.place(ssrc)?;
        let mut stream = self.streams.at_or_new(place, ssrc);
        let again = self.previous.is_some();
        let mut refused = None;
        for which in [Which::Current, Which::Previous] {
            if which == Which::Previous && !again {
                break;
            }
            let keys = self.keys(which);
            let opened = Layout::of(keys, Kind::Rtcp, job.packet()).and_then(|layout| {
                keys.check_lifetime(Kind::Rtcp, false)?;
                let word = u32::from_be_bytes(*room(job.buffer, layout.word));
                let index = u64::from(word & !ENCRYPTED);
                stream.rtcp.check(index)?;
                let guessed = tag.filter(|_| which == Which::Current);
                let spare = if again { Some(&mut *spare) } else { None };
                keys.open_rtcp(job, &layout, ssrc, word, guessed, spare).map(|()| (layout.body, index))
            });
            match opened {
                Ok((octets, index)) => {
                    stream.rtcp.accept(index);
                    self.accept(Kind::Rtcp, which, place, stream);
                    job.octets = octets;
                    return Ok(());
                }
                Err(error) => refused = refused.max_by_weight(error),
            }
        }
        Err(refused.unwrap_or(SrtpError::Authentication))
    }

    fn keys(&self, which: Which) -> &Keys {
        match (which, &self.previous) {
            (Which::Previous, Some(keys)) => keys,
            _ => &self.current,
        }
    }

    /// What a packet that was authenticated leaves behind.
    fn accept(&mut self, kind: Kind, which: Which, place: Option<usize>, stream: Stream) {
        match (which, &mut self.previous) {
            (Which::Previous, Some(keys)) => keys.count(kind),
            _ => self.current.count(kind),
        }
        self.streams.put(place, stream);
    }

    /// Keys and indexes that a packet may have, the likeliest first.
    ///
    /// # Errors
    /// The likeliest was seen, is too old, or is past the end of all indexes.
    fn attempts(&self, stream: &Stream, sequence: u16) -> Result<ArrayVec<Attempt, 5>, SrtpError> {
        let index = stream.rtp.estimate(sequence);
        if index >= limits::RTP_PACKETS_MAX {
            return Err(SrtpError::Exhausted);
        }
        let mut attempts = ArrayVec::new();
        let seen = stream.rtp.check(index);
        let recovers = self.recovers();
        if seen.is_ok() {
            attempts.push(Attempt { which: Which::Current, index, restarts: false });
            if self.previous.is_some() {
                attempts.push(Attempt { which: Which::Previous, index, restarts: false });
            }
        } else if !(stream.fresh && recovers) {
            return seen.map(|()| attempts);
        }
        if recovers {
            const EPOCH: u64 = 1 << 16;
            let others = [Some(index + EPOCH), index.checked_sub(EPOCH), Some(u64::from(sequence))];
            for other in others.into_iter().flatten() {
                // With a key of which nothing was taken yet, any index is new. With another, what is behind is a replay.
                let passes = other != index && other < limits::RTP_PACKETS_MAX;
                if passes && (stream.fresh || stream.rtp.check(other).is_ok()) {
                    attempts.push(Attempt { which: Which::Current, index: other, restarts: stream.fresh });
                }
            }
        }
        Ok(attempts)
    }

    #[cfg(test)]
    pub(crate) fn keys_mut(&mut self) -> &mut Keys {
        &mut self.current
    }
}

/// A key and an index that a packet may have.
struct Attempt {
    which: Which,
    index: u64,
    /// The stream begins anew there.
    restarts: bool,
}

/// Of several refusals the one that says most: a wrong tag, then what was said first.
trait Weight {
    fn max_by_weight(self, error: SrtpError) -> Self;
}

impl Weight for Option<SrtpError> {
    fn max_by_weight(self, error: SrtpError) -> Self {
        match error {
            SrtpError::Authentication => Some(error),
            _ => self.or(Some(error)),
        }
    }
}

impl Layout {
    /// # Errors
    /// The packet is too short, or of another master key.
    fn of(keys: &Keys, kind: Kind, packet: &[u8]) -> Result<Self, SrtpError> {
        let mki = &keys.master.mki;
        let (tag_octets, word_octets) = (keys.suite().tag_octets(kind), if kind == Kind::Rtcp { 4 } else { 0 });
        let smallest = if kind == Kind::Rtcp { RTCP_CLEAR } else { 0 };
        let body = packet.len().checked_sub(tag_octets + word_octets + mki.len()).filter(|body| *body >= smallest);
        let body = body.ok_or(SrtpError::Truncated)?;
        let layout = if keys.suite().is_gcm() {
            let word = body + tag_octets;
            Self { body, tag: body, word, mki: word + word_octets, tag_octets }
        } else {
            let at = body + word_octets;
            Self { body, word: body, mki: at, tag: at + mki.len(), tag_octets }
        };
        let named = &packet[layout.mki..layout.mki + mki.len()];
        if mki.is_empty() || *named == **mki { Ok(layout) } else { Err(SrtpError::UnknownKey) }
    }
}

/// Four octets of a buffer.
fn room(buffer: &mut [u8], at: usize) -> &mut [u8; 4] {
    buffer[at..].first_chunk_mut().expect("a tag has four octets at least")
}

impl Keys {
    fn open_rtp(
        &self,
        job: &mut Job<'_>,
        layout: &Layout,
        header: &RtpHeader,
        index: u64,
        guessed: Option<GuessedTag<'_>>,
        spare: Option<&mut [u8]>,
    ) -> Result<(), SrtpError> {
        let keys = &self.rtp;
        let clear = if self.master.encrypts(Kind::Rtp) { header.octets } else { layout.body };
        if self.suite().is_gcm() {
            let tag = gcm_tag(job.packet(), layout);
            let (clear, payload) = job.buffer[..layout.body].split_at_mut(clear);
            let iv = gcm_iv(&keys.salt, header.ssrc, index);
            return open(keys, &iv, clear, payload, &tag, spare);
        }
        let roc = (index >> 16) as u32;
        let tag = guessed.map_or_else(
            || {
                let displaced = std::mem::replace(room(job.buffer, layout.body), roc.to_be_bytes());
                let tag = keys.hmac.tag(&job.buffer[..layout.body + 4]);
                *room(job.buffer, layout.body) = displaced;
                tag
            },
            |guessed| *guessed.tag,
        );
        check_tag(job.packet(), layout, &tag)?;
        let iv = counter_iv(&keys.salt, header.ssrc, index);
        keys.cipher.apply_keystream(&iv, &mut job.buffer[clear..layout.body]);
        Ok(())
    }

    fn open_rtcp(
        &self,
        job: &mut Job<'_>,
        layout: &Layout,
        ssrc: u32,
        word: u32,
        guessed: Option<GuessedTag<'_>>,
        spare: Option<&mut [u8]>,
    ) -> Result<(), SrtpError> {
        let (keys, index) = (&self.rtcp, u64::from(word & !ENCRYPTED));
        let encrypted = word & ENCRYPTED != 0;
        if !self.suite().is_gcm() {
            let signed = &job.buffer[..layout.word + 4];
            let tag = guessed.map_or_else(|| keys.hmac.tag(signed), |guessed| *guessed.tag);
            check_tag(job.packet(), layout, &tag)?;
            if encrypted {
                let iv = counter_iv(&keys.salt, ssrc, index);
                keys.cipher.apply_keystream(&iv, &mut job.buffer[RTCP_CLEAR..layout.body]);
            }
            return Ok(());
        }
        let (tag, iv) = (gcm_tag(job.packet(), layout), gcm_iv(&keys.salt, ssrc, index));
        if encrypted {
            let (clear, body) = job.buffer[..layout.body].split_at_mut(RTCP_CLEAR);
            let associated = rtcp_associated(clear, &word.to_be_bytes());
            return open(keys, &iv, &associated, body, &tag, spare);
        }
        // All of it is authenticated, and the index after it (RFC 7714 section 9.3).
        let displaced = std::mem::replace(room(job.buffer, layout.body), word.to_be_bytes());
        let opened = open(keys, &iv, &job.buffer[..layout.body + 4], &mut [], &tag, None);
        *room(job.buffer, layout.body) = displaced;
        opened
    }
}

fn gcm_tag(packet: &[u8], layout: &Layout) -> [u8; GCM_TAG] {
    *packet[layout.tag..].first_chunk().expect("a GCM tag has 16 octets")
}

fn check_tag(packet: &[u8], layout: &Layout, tag: &[u8; TAG]) -> Result<(), SrtpError> {
    let found = &packet[layout.tag..layout.tag + layout.tag_octets];
    let right: bool = found.ct_eq(&tag[..layout.tag_octets]).into();
    if right { Ok(()) } else { Err(SrtpError::Authentication) }
}

/// Opens with GCM. With something to spare, the payload is as it was if the tag is wrong.
fn open(
    keys: &SessionKeys,
    iv: &[u8; 12],
    associated: &[u8],
    payload: &mut [u8],
    tag: &[u8; GCM_TAG],
    spare: Option<&mut [u8]>,
) -> Result<(), SrtpError> {
    let spare = spare.map(|spare| &mut spare[..payload.len()]);
    let before = spare.map(|spare| {
        spare.copy_from_slice(payload);
        &*spare
    });
    if keys.cipher.open(iv, associated, payload, tag) {
        return Ok(());
    }
    if let Some(before) = before {
        payload.copy_from_slice(before);
    }
    Err(SrtpError::Authentication)
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: Vec<_> = self.positions().collect();
        f.debug_struct("Receiver")
            .field("master", &self.current.master)
            .field("previous", &self.previous.as_ref().map(|keys| &keys.master))
            .field("streams", &streams)
            .finish()
    }
}
