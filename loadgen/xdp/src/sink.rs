//! The receiving side.

use std::net::{IpAddr, SocketAddr};

use aya::maps::PerCpuValues;
use aya::programs::{ProgramError, TestRun, TestRunOptions, XdpMode};
use nix::errno::Errno;

use crate::error::{into_io, os_error};
use crate::layout::{BUCKETS, Buckets, Counts, Expected, Listening, Origin, STRANGERS_MAX};
use crate::{Array, HashMap, PerCpuArray, XdpError, grown, load, map, xdp};

pub use crate::layout::{Heard, Stranger};

/// Counts streams that are known beforehand.
pub(crate) const EXPECTING: &str = "receive";
/// Counts anybody's.
const LISTENING: &str = "listen";

/// Counts and times stamped packets that come in by an interface, which get no further; all others do. Taken off on drop.
pub struct Sink<T> {
    object: aya::Ebpf,
    program: &'static str,
    streams: T,
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

/// Streams that a run sends itself, by number.
pub struct Known(Array<Heard>);

/// Streams of anybody, by where they come from.
pub struct Strangers(HashMap<Origin, Stranger>);

impl Sink<Known> {
    /// For streams that are known. `first` is each stream's first number.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn expecting(expected: &Expected, first: &[u16]) -> Result<Self, XdpError> {
        let mut object = load(EXPECTING, expected.streams)?;
        let mut told: Array<Expected> = map(&mut object, "EXPECTED")?.try_into()?;
        told.set(0, *expected, 0)?;
        let mut heard: Array<Heard> = map(&mut object, "HEARD")?.try_into()?;
        for (stream, first) in (0..).zip(first) {
            heard.set(stream, Heard::before((*first).into()), 0)?;
        }
        Self::of(object, EXPECTING, Known(heard))
    }

    /// What came of a stream.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn stream(&self, stream: u32) -> Result<Heard, XdpError> {
        Ok(self.streams.0.get(&stream, 0)?)
    }
}

impl Sink<Strangers> {
    /// For streams of anybody.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn listening(listening: &Listening) -> Result<Self, XdpError> {
        let mut object = load(LISTENING, STRANGERS_MAX)?;
        let mut told: Array<Listening> = map(&mut object, "LISTENING")?.try_into()?;
        told.set(0, *listening, 0)?;
        let strangers = Strangers(map(&mut object, "STRANGERS")?.try_into()?);
        Self::of(object, LISTENING, strangers)
    }

    /// What came of each stream, and from where.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn strangers(&self) -> Result<Vec<(Origin, Stranger)>, XdpError> {
        Ok(self.streams.0.iter().collect::<Result<_, _>>()?)
    }
}

impl<T> Sink<T> {
    fn of(mut object: aya::Ebpf, program: &'static str, streams: T) -> Result<Self, XdpError> {
        let counts = map(&mut object, "COUNTS")?.try_into()?;
        let delays = map(&mut object, "DELAYS")?.try_into()?;
        let variations = map(&mut object, "VARIATIONS")?.try_into()?;
        let before = (Counts::default(), vec![0; BUCKETS], vec![0; BUCKETS]);
        Ok(Self { object, program, streams, counts, delays, variations, before })
    }

    /// Attaches to an interface, in the driver; to several, one after the other.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn attach(&mut self, interface: &str) -> Result<(), XdpError> {
        let program = xdp(&mut self.object, self.program)?;
        program.attach(interface, XdpMode::Driver).map_err(|error| refused(interface, &error))?;
        Ok(())
    }

    /// Takes one frame that no device has received; whether it got no further.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn rehearse(&mut self, frame: &[u8]) -> Result<bool, XdpError> {
        const DROP: u32 = 1;
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        let result = xdp(&mut self.object, self.program)?.test_run(options);
        Ok(result.map_err(|error| XdpError::Run(into_io(error)))?.return_value == DROP)
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
}

impl Origin {
    /// Address and port of the sender.
    #[must_use]
    pub fn remote(&self, v6: bool) -> SocketAddr {
        let [first, ..] = self.address;
        let address = if v6 {
            let mut octets = [0; 16];
            for (octets, word) in octets.chunks_exact_mut(4).zip(self.address) {
                octets.copy_from_slice(&word.to_ne_bytes());
            }
            IpAddr::from(octets)
        } else {
            IpAddr::from(first.to_ne_bytes())
        };
        SocketAddr::new(address, self.port)
    }
}

impl Stranger {
    /// Whether delays are above that of the fastest packet: its sender has another clock.
    #[must_use]
    pub const fn is_relative(&self, clock: u32) -> bool {
        self.clock != clock
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
