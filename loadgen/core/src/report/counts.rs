//! What is counted of packets, by a stream, a worker or a run.

use core::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::receive::{Arrival, Content, Place};

/// Packets sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Octets of RTP.
    pub octets: u64,
    /// Packets that the socket did not take: they are counted as sent too, and will be missing.
    pub refused: u64,
}

/// Packets received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Packets, each counted once, corrupted ones too.
    pub packets: u64,
    /// Octets of RTP in them.
    pub octets: u64,
    /// Packets missing between those that arrived. Of a part of a run it may be negative: what was missing before came.
    pub missing: i64,
    /// Copies of a packet that had arrived.
    pub duplicated: u64,
    /// Packets that came after a younger one (RFC 4737 section 3.3).
    pub reordered: u64,
    /// Packets with changed octets.
    pub corrupted: u64,
    /// Packets too late to be played.
    pub late: u64,
    /// Packets too far from the others of their stream to be placed; they are not in `packets`.
    pub stray: u64,
    /// Packets without a stamp.
    pub unstamped: u64,
    /// Datagrams of another run or stream, or that are no media at all; they are not in `packets`.
    pub foreign: u64,
    /// Datagrams that were not protected with the key that was agreed on, or were changed; they are not in `packets`.
    #[serde(default)]
    pub unauthentic: u64,
    /// Packets that arrived before they were due: clocks that are said to be synchronised are not.
    pub before_due: u64,
    /// Silences longer than allowed.
    pub gaps: u64,
}

impl Received {
    /// Counts an arrival.
    #[inline]
    pub fn note(&mut self, arrival: &Arrival) {
        if arrival.content == Content::Foreign {
            self.foreign += 1;
            return;
        }
        match arrival.place {
            Place::Newest { missing } => self.missing += i64::from(missing),
            Place::Earlier { missing, .. } => {
                self.missing += i64::from(missing);
                self.reordered += 1;
            }
            Place::Reordered { .. } => {
                self.missing -= 1;
                self.reordered += 1;
            }
            Place::Duplicate => {
                self.duplicated += 1;
                return;
            }
            Place::Stray => {
                self.stray += 1;
                return;
            }
        }
        self.packets += 1;
        self.octets += u64::from(arrival.octets);
        self.corrupted += u64::from(arrival.content == Content::Corrupted);
        self.unstamped += u64::from(arrival.content == Content::Unstamped);
        self.gaps += u64::from(arrival.gap);
        if let Some(timing) = arrival.timing {
            self.late += u64::from(timing.late);
            self.before_due += u64::from(timing.before_due);
        }
    }
}

impl AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.octets += other.octets;
        self.refused += other.refused;
    }
}

impl AddAssign for Received {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.octets += other.octets;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.late += other.late;
        self.stray += other.stray;
        self.unstamped += other.unstamped;
        self.foreign += other.foreign;
        self.unauthentic += other.unauthentic;
        self.before_due += other.before_due;
        self.gaps += other.gaps;
    }
}
