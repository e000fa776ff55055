//! What a context knows of each SSRC.

use crate::error::SrtpError;
use crate::limits;
use crate::replay::ReplayList;

/// A stream: the packets of one SSRC (RFC 3711 section 3.2.3).
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub ssrc: u32,
    pub rtp: ReplayList,
    pub rtcp: ReplayList,
    /// Nothing was authenticated yet with the master key that came last: a peer may have begun anew with it.
    pub fresh: bool,
}

/// Where a stream stands, to go on with it in another context after a failure.
///
/// A sender that goes on without the whole position would use its keystream twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Whose packets.
    pub ssrc: u32,
    /// Rollover counter (RFC 3711 section 3.2.1).
    pub roc: u32,
    /// The highest sequence number with it, unless only RTCP was seen or only the counter is known.
    pub sequence: Option<u16>,
    /// The highest SRTCP index, unless there was no RTCP.
    pub rtcp_index: Option<u32>,
}

/// What becomes of the streams when a context gets another master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// They go on, rollover counters and all (RFC 3711 section 3.3.1), and a receiver takes packets of the key before too.
    Keep,
    /// They begin anew, as with a new context; the key before is forgotten.
    Reset,
}

/// Streams of a context, as many as there is room for.
pub(crate) struct Table {
    streams: Vec<Stream>,
    /// Where the last one was.
    last: usize,
    /// How often a stream came or turned its rollover counter.
    changes: u32,
}

impl Table {
    pub fn new(room: usize) -> Self {
        Self { streams: Vec::with_capacity(room.clamp(1, limits::STREAMS_MAX)), last: 0, changes: 0 }
    }

    /// The place of a stream.
    pub fn find(&mut self, ssrc: u32) -> Option<usize> {
        if self.streams.get(self.last).is_none_or(|stream| stream.ssrc != ssrc) {
            self.last = self.streams.iter().position(|stream| stream.ssrc == ssrc)?;
        }
        Some(self.last)
    }

    pub fn is_full(&self) -> bool {
        self.streams.len() == self.streams.capacity()
    }

    /// A stream by its place, or one of which nothing is known.
    pub fn at_or_new(&self, place: Option<usize>, ssrc: u32) -> Stream {
        place.map_or_else(|| Stream::new(ssrc), |place| self.streams[place])
    }

    /// Where a stream is, or will be.
    ///
    /// # Errors
    /// There is no room for another one.
    pub fn place(&mut self, ssrc: u32) -> Result<Option<usize>, SrtpError> {
        let place = self.find(ssrc);
        if place.is_none() && self.is_full() { Err(SrtpError::Streams) } else { Ok(place) }
    }

    /// Writes a stream back to where [`Self::place`] said. Takes no memory.
    pub fn put(&mut self, place: Option<usize>, stream: Stream) {
        if let Some(place) = place {
            let before = std::mem::replace(&mut self.streams[place], stream);
            self.changes = self.changes.wrapping_add(u32::from(before.rtp.roc() != stream.rtp.roc()));
        } else {
            debug_assert!(!self.is_full(), "room was looked for");
            self.streams.push(stream);
            self.changes = self.changes.wrapping_add(1);
        }
    }

    pub fn changes(&self) -> u32 {
        self.changes
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.iter_mut()
    }

    pub fn clear(&mut self) {
        self.streams.clear();
    }

    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.streams.iter().map(Stream::position)
    }

    /// # Errors
    /// There is no room for another stream.
    pub fn resume(&mut self, position: &Position, rtcp_skip: u32) -> Result<(), SrtpError> {
        let place = self.place(position.ssrc)?;
        let index = u64::from(position.roc) << 16;
        let rtp = position.sequence.map(|sequence| ReplayList::resumed(index | u64::from(sequence)));
        let rtcp = position.rtcp_index.map(|index| {
            let index = (u64::from(index) + u64::from(rtcp_skip)).min(limits::RTCP_PACKETS_MAX - 1);
            ReplayList::resumed(index)
        });
        let stream = Stream {
            ssrc: position.ssrc,
            rtp: rtp.unwrap_or_else(|| ReplayList::new(position.roc)),
            rtcp: rtcp.unwrap_or_else(|| ReplayList::new(0)),
            fresh: false,
        };
        self.put(place, stream);
        Ok(())
    }
}

impl Stream {
    fn new(ssrc: u32) -> Self {
        Self { ssrc, rtp: ReplayList::new(0), rtcp: ReplayList::new(0), fresh: false }
    }

    fn position(&self) -> Position {
        Position {
            ssrc: self.ssrc,
            roc: self.rtp.roc(),
            sequence: self.rtp.highest().map(|index| index as u16),
            rtcp_index: self.rtcp.highest().map(|index| index as u32),
        }
    }
}
