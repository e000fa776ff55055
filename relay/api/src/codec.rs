//! Frames: the API version (2 octets, little endian), then messages, each as its length (4 octets, little endian)
//! and its postcard encoding.

use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{API_VERSION, Datagram, FromRelay, Leg, Operation, ToRelay, limits};

/// Why a frame or a message in it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than its own header says.
    #[error("truncated frame")]
    Truncated,
    /// Longer than [`limits::FRAME_MAX`].
    #[error("oversized frame")]
    Oversized,
    /// The other side speaks another version.
    #[error("API version {0}, this side speaks {API_VERSION}: upgrade both programs")]
    Version(u16),
    /// Not a message.
    #[error("malformed message")]
    Malformed,
    /// A message over one of the [`limits`].
    #[error("message over a limit")]
    Limit,
}

/// Builds frames.
#[derive(Debug, Default)]
pub struct FrameWriter {
    frame: Vec<u8>,
}

impl FrameWriter {
    /// An empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { frame: Vec::new() }
    }

    /// Adds a message. False, and nothing added, when the frame would pass [`limits::FRAME_MAX`]: send it first.
    pub fn push<M: Serialize>(&mut self, message: &M) -> bool {
        let before = self.frame.len();
        if before == 0 {
            self.frame.extend_from_slice(&API_VERSION.to_le_bytes());
        }
        let start = self.frame.len();
        let mut frame = core::mem::take(&mut self.frame);
        frame.extend_from_slice(&[0; 4]);
        // Into a Vec only an allocation can fail, and that aborts.
        frame = postcard::to_extend(message, frame).expect("messages have an encoding");
        let length = (frame.len() - start - 4) as u32;
        frame[start..start + 4].copy_from_slice(&length.to_le_bytes());
        let fits = frame.len() <= limits::FRAME_MAX;
        if !fits {
            frame.truncate(before);
        }
        self.frame = frame;
        fits
    }

    /// Whether nothing was added since the last [`clear`](Self::clear).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty()
    }

    /// The frame so far.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Starts the next frame; keeps the memory, in which nothing is left to read: there may have been keys.
    pub fn clear(&mut self) {
        self.frame.as_mut_slice().zeroize();
        self.frame.clear();
    }
}

/// Messages of a frame, in order; stops after the first error.
pub struct Decode<'a, M> {
    rest: &'a [u8],
    message: PhantomData<M>,
}

/// Opens a frame.
///
/// # Errors
/// [`DecodeError::Oversized`], [`DecodeError::Truncated`], [`DecodeError::Version`].
pub fn decode<M>(frame: &[u8]) -> Result<Decode<'_, M>, DecodeError> {
    if frame.len() > limits::FRAME_MAX {
        return Err(DecodeError::Oversized);
    }
    let (version, rest) = frame.split_first_chunk().ok_or(DecodeError::Truncated)?;
    match u16::from_le_bytes(*version) {
        API_VERSION => Ok(Decode { rest, message: PhantomData }),
        other => Err(DecodeError::Version(other)),
    }
}

impl<'a, M: Deserialize<'a> + Limited> Iterator for Decode<'a, M> {
    type Item = Result<M, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = next_message(&mut self.rest);
        if message.is_err() {
            self.rest = &[];
        }
        Some(message)
    }
}

fn next_message<'a, M: Deserialize<'a> + Limited>(rest: &mut &'a [u8]) -> Result<M, DecodeError> {
    let (length, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (body, after) = after.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    let (message, left) = postcard::take_from_bytes::<M>(body).map_err(|_| DecodeError::Malformed)?;
    if !left.is_empty() {
        return Err(DecodeError::Malformed);
    }
    *rest = after;
    if message.within_limits() { Ok(message) } else { Err(DecodeError::Limit) }
}

/// A message whose parts have limits.
pub trait Limited {
    /// Whether they are kept.
    fn within_limits(&self) -> bool;
}

impl Limited for Datagram<'_> {
    fn within_limits(&self) -> bool {
        self.payload.len() <= limits::DATAGRAM_MAX
    }
}

impl Limited for ToRelay<'_> {
    fn within_limits(&self) -> bool {
        match self {
            Self::Apply { operations, then_send, .. } => {
                let legs = operations.iter().filter(|operation| matches!(operation, Operation::PutLeg(_)));
                let recordings = operations.iter().filter(|operation| matches!(operation, Operation::Record(_)));
                operations.len() <= limits::OPERATIONS_MAX
                    && legs.count() <= limits::PUT_LEGS_MAX
                    && recordings.count() <= 1
                    && then_send.as_ref().is_none_or(Limited::within_limits)
                    && operations.iter().all(operation_within_limits)
            }
            Self::Send(datagram) => datagram.within_limits(),
            Self::Configure { listeners, relay_addresses, .. } => {
                listeners.len() <= limits::LISTENERS_MAX && relay_addresses.len() <= limits::RELAY_ADDRESSES_MAX
            }
            Self::Hello { .. }
            | Self::Snapshot
            | Self::Synchronised
            | Self::Statistics
            | Self::Report { .. }
            | Self::LogLevel(_) => true,
        }
    }
}

fn operation_within_limits(operation: &Operation<'_>) -> bool {
    match operation {
        Operation::PutSession { blob, .. } => blob.len() <= limits::BLOB_MAX,
        Operation::PutLeg(leg) => leg.within_limits(),
        Operation::Record(recording) => recording.within_limits(),
        Operation::OpenRelayed { .. }
        | Operation::OpenMedia { .. }
        | Operation::CloseMedia { .. }
        | Operation::RemoveLeg(_)
        | Operation::Confirm
        | Operation::PutFlow(_)
        | Operation::Extend { .. }
        | Operation::RemoveFlow(_)
        | Operation::RemoveSession
        | Operation::StopRecording { .. } => true,
    }
}

impl Limited for FromRelay<'_> {
    fn within_limits(&self) -> bool {
        match self {
            Self::Punt(punt) => punt.payload.len() <= limits::DATAGRAM_MAX,
            Self::Session(session) => {
                session.blob.len() <= limits::BLOB_MAX
                    && session.recording.as_ref().is_none_or(|report| report.recording.within_limits())
                    && session.legs.iter().filter_map(|report| report.leg.as_ref()).all(Leg::within_limits)
            }
            Self::Hello { .. }
            | Self::Failed { .. }
            | Self::Applied { .. }
            | Self::Leg { .. }
            | Self::Expired(_)
            | Self::SnapshotEnd
            | Self::Statistics(_)
            | Self::Problem(_)
            | Self::Recording { .. } => true,
        }
    }
}

/// Fuzz entry: decodes anything, and what decodes encodes to something that decodes to the same.
pub fn fuzz(data: &[u8]) {
    round_trip::<ToRelay<'_>>(data);
    round_trip::<FromRelay<'_>>(data);
}

fn round_trip<'a, M>(data: &'a [u8])
where
    M: Deserialize<'a> + Serialize + Limited,
{
    let Ok(messages) = decode::<M>(data) else { return };
    for message in messages.flatten() {
        let mut writer = FrameWriter::new();
        assert!(writer.push(&message), "what fitted a frame fits one again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FlowId, Listener, Punt, RelayAddress, RelayPorts, SessionId};
    use alloc::borrow::Cow;
    use alloc::vec;

    fn apply(payload: usize) -> ToRelay<'static> {
        ToRelay::Apply {
            transaction: 1,
            session: SessionId(2),
            operations: vec![
                Operation::PutSession {
                    worker: 0,
                    expires_at_ns: 5,
                    bits_per_second: 0,
                    blob: Cow::Owned(vec![7; 100]),
                },
                Operation::RemoveFlow(FlowId(4)),
            ],
            then_send: Some(Datagram {
                from: "10.0.0.1:3478".parse().unwrap(),
                to: "[2001:db8::1]:5".parse().unwrap(),
                payload: Cow::Owned(vec![1; payload]),
            }),
        }
    }

    fn configure(listeners: usize, relay_addresses: usize) -> ToRelay<'static> {
        let relay = RelayAddress { internal: "10.0.0.1".parse().unwrap(), external: "192.0.2.1".parse().unwrap() };
        ToRelay::Configure {
            listeners: vec![Listener { address: "10.0.0.1:3478".parse().unwrap() }; listeners],
            relay_addresses: vec![relay; relay_addresses],
            relay_ports: RelayPorts { first: 49152, last: 65535 },
            media_ports: Some(RelayPorts { first: 30_000, last: 40_000 }),
            stun_requests_per_second: 5,
        }
    }

    #[test]
    fn a_frame_gives_back_its_messages_in_order() {
        let configure = configure(1, 1);
        let mut writer = FrameWriter::new();
        assert!(writer.push(&configure) && writer.push(&apply(20)));
        let read: Result<Vec<ToRelay<'_>>, _> = decode(writer.frame()).unwrap().collect();
        assert_eq!(read.unwrap(), [configure, apply(20)]);
    }

    #[test]
    fn a_full_frame_refuses_and_keeps_what_it_has() {
        let mut writer = FrameWriter::new();
        let mut pushed = 0;
        while writer.push(&apply(limits::DATAGRAM_MAX)) {
            pushed += 1;
        }
        assert!(writer.frame().len() <= limits::FRAME_MAX);
        assert_eq!(decode::<ToRelay<'_>>(writer.frame()).unwrap().filter(Result::is_ok).count(), pushed);
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(decode::<ToRelay<'_>>(&[9, 0]).err(), Some(DecodeError::Version(9)));
    }

    #[test]
    fn a_message_over_a_limit_is_refused() {
        let listeners = configure(limits::LISTENERS_MAX + 1, 1);
        let relay_addresses = configure(1, limits::RELAY_ADDRESSES_MAX + 1);
        for message in [apply(limits::DATAGRAM_MAX + 1), listeners, relay_addresses] {
            let mut writer = FrameWriter::new();
            assert!(writer.push(&message));
            assert_eq!(decode::<ToRelay<'_>>(writer.frame()).unwrap().next(), Some(Err(DecodeError::Limit)));
        }
        let mut writer = FrameWriter::new();
        assert!(writer.push(&configure(limits::LISTENERS_MAX, limits::RELAY_ADDRESSES_MAX)));
        assert!(decode::<ToRelay<'_>>(writer.frame()).unwrap().all(|message| message.is_ok()));
    }

    #[test]
    fn every_cut_and_every_flipped_octet_is_survived() {
        let mut writer = FrameWriter::new();
        let punt = FromRelay::Punt(Punt {
            worker: 1,
            local: "10.0.0.1:3478".parse().unwrap(),
            remote: "10.0.0.2:4000".parse().unwrap(),
            received_at_ns: 77,
            payload: Cow::Borrowed(&[1, 2, 3]),
        });
        assert!(writer.push(&apply(30)) && writer.push(&punt));
        let frame = writer.frame();
        for cut in 0..frame.len() {
            fuzz(&frame[..cut]);
        }
        for at in 0..frame.len() {
            for bit in 0..8 {
                let mut bad = frame.to_vec();
                bad[at] ^= 1 << bit;
                fuzz(&bad);
            }
        }
    }
}
