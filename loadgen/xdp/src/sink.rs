//! The receiving side.

use aya::maps::PerCpuValues;
use aya::programs::{ProgramError, XdpMode};
use nix::errno::Errno;

use crate::error::os_error;
use crate::layout::{BUCKETS, Buckets, Counts, Expected};
use crate::{Array, PerCpuArray, XdpError, grown, load, map, xdp};

pub use crate::layout::Heard;

const PROGRAM: &str = "receive";

/// Counts and times the packets of a run that come in by an interface, which get no further; all others do. Taken off on
/// drop.
pub struct Sink {
    _object: aya::Ebpf,
    heard: Array<Heard>,
    counts: PerCpuArray<Counts>,
    delays: PerCpuArray<Buckets>,
    variations: PerCpuArray<Buckets>,
    before: (Counts, Vec<u64>, Vec<u64>),
}

/// What came since the last look.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Counts.
    pub counts: Counts,
    /// Delays in ns, and how many packets had each.
    pub delays: Vec<(u64, u64)>,
    /// Differences of delay between packets that follow each other, in ns, and how many.
    pub variations: Vec<(u64, u64)>,
}

impl Sink {
    /// Attaches to an interface, in the driver. `first` is each stream's first sequence number.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn new(interface: &str, expected: &Expected, first: &[u16]) -> Result<Self, XdpError> {
        let mut object = load(PROGRAM, expected.streams)?;
        let mut told: Array<Expected> = map(&mut object, "EXPECTED")?.try_into()?;
        told.set(0, *expected, 0)?;
        let mut heard: Array<Heard> = map(&mut object, "HEARD")?.try_into()?;
        for (stream, first) in (0..).zip(first) {
            heard.set(stream, Heard::before(*first), 0)?;
        }
        let counts = map(&mut object, "COUNTS")?.try_into()?;
        let delays = map(&mut object, "DELAYS")?.try_into()?;
        let variations = map(&mut object, "VARIATIONS")?.try_into()?;
        let program = xdp(&mut object, PROGRAM)?;
        program.attach(interface, XdpMode::Driver).map_err(|error| refused(interface, &error))?;
        let before = (Counts::default(), vec![0; BUCKETS], vec![0; BUCKETS]);
        Ok(Self { _object: object, heard, counts, delays, variations, before })
    }

    /// What came since the last look.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn tally(&mut self) -> Result<Tally, XdpError> {
        let counts = self.counts.get(&0, 0)?.iter().fold(Counts::default(), |sum, each| sum.plus(each));
        let since = counts.less(&self.before.0);
        self.before.0 = counts;
        let delays = grown(&sum(&self.delays.get(&0, 0)?), &mut self.before.1);
        let variations = grown(&sum(&self.variations.get(&0, 0)?), &mut self.before.2);
        Ok(Tally { counts: since, delays, variations })
    }

    /// What came of a stream.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn stream(&self, stream: u32) -> Result<Heard, XdpError> {
        Ok(self.heard.get(&stream, 0)?)
    }
}

fn sum(processors: &PerCpuValues<Buckets>) -> Vec<u64> {
    (0..BUCKETS).map(|bucket| processors.iter().map(|buckets| buckets[bucket]).sum()).collect()
}

fn refused(interface: &str, error: &ProgramError) -> XdpError {
    match os_error(error) {
        Some(code) if code == Errno::EBUSY as i32 || code == Errno::EEXIST as i32 => {
            XdpError::Taken(interface.to_owned())
        }
        Some(code) if code == Errno::EPERM as i32 => XdpError::NotPermitted,
        Some(code) => {
            XdpError::Attach { interface: interface.to_owned(), error: std::io::Error::from_raw_os_error(code) }
        }
        None => XdpError::Refused(error.to_string()),
    }
}

impl Counts {
    fn plus(self, other: &Self) -> Self {
        self.zip(other, u64::wrapping_add)
    }

    fn less(self, other: &Self) -> Self {
        self.zip(other, u64::wrapping_sub)
    }

    fn zip(self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            packets: with(self.packets, other.packets),
            octets: with(self.octets, other.octets),
            missing: with(self.missing as u64, other.missing as u64) as i64,
            duplicated: with(self.duplicated, other.duplicated),
            reordered: with(self.reordered, other.reordered),
            corrupted: with(self.corrupted, other.corrupted),
            late: with(self.late, other.late),
            stray: with(self.stray, other.stray),
            foreign: with(self.foreign, other.foreign),
            before_due: with(self.before_due, other.before_due),
            gaps: with(self.gaps, other.gaps),
        }
    }
}
