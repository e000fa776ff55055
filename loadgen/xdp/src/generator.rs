//! The sending side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aya::Ebpf;
use aya::programs::{TestRun, TestRunAttrs, TestRunOptions};
use core_affinity::CoreId;
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{SigSet, Signal};

use crate::error::into_io;
use crate::frame::{self, Frames, Shape};
use crate::layout::{BUCKETS, Buckets, Pattern, State, Steps, Stream};
use crate::{Array, XdpError, grown, load, map, xdp};

pub(crate) const PROGRAM: &str = "generate";
/// Frames that the kernel hands to the program, and then to the device, at once. A veth ring holds 256.
const BATCH: u32 = 16;
/// Interrupts the kernel's loop, and does nothing else.
const NUDGE: Signal = Signal::SIGUSR1;

/// When what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// When the first packet is due, ns of the monotonic clock.
    pub begin_ns: u64,
    /// No packet is due from then on.
    pub stop_ns: u64,
    /// What stamps add to times of that clock.
    pub ahead_ns: u64,
    /// From one packet of a stream to its next: numerator and denominator, ns.
    pub interval: (u64, u64),
    /// The same in units of the RTP clock.
    pub ticks: (u64, u64),
    /// Number of the run.
    pub run: u32,
    /// Name of the clock in stamps.
    pub clock: u32,
}

/// Streams that are ready to be sent by one core: one after the other, at even distances.
pub struct Generator {
    object: Ebpf,
    state: Array<State>,
    lateness: Array<Buckets>,
    shape: Shape,
    streams: u32,
    ifindex: u32,
}

impl Generator {
    /// Streams of one shape, out of this interface.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn new(ifindex: u32, shape: Shape, streams: &[Frames]) -> Result<Self, XdpError> {
        let count = streams.len() as u32;
        let mut object = load(PROGRAM, count)?;
        let mut table: Array<Stream> = map(&mut object, "STREAMS")?.try_into()?;
        for (place, frames) in (0..).zip(streams) {
            table.set(place, frame::stream(&shape, frames), 0)?;
        }
        let mut pattern: Array<Pattern> = map(&mut object, "PATTERN")?.try_into()?;
        pattern.set(0, *frame::stretches(shape.body()), 0)?;
        let state = map(&mut object, "STATE")?.try_into()?;
        let lateness = map(&mut object, "LATENESS")?.try_into()?;
        Ok(Self { object, state, lateness, shape, streams: count, ifindex })
    }

    /// Writes one frame into memory and sends nothing: what the next packet would be if it is due.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn rehearse(&mut self, order: &Order) -> Result<Option<Vec<u8>>, XdpError> {
        const TX: u32 = 3;
        if self.sent()? == 0 {
            self.order(order)?;
        }
        let (frame, mut out) = (vec![0; self.shape.frame()], vec![0; self.shape.frame()]);
        let options = TestRunOptions { data_in: Some(&frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result =
            xdp(&mut self.object, PROGRAM)?.test_run(options).map_err(|error| XdpError::Run(into_io(error)))?;
        Ok((result.return_value == TX).then_some(out))
    }

    fn sent(&self) -> Result<u64, XdpError> {
        Ok(self.state.get(&0, 0)?.sent)
    }

    fn order(&mut self, order: &Order) -> Result<(), XdpError> {
        let (ns, per) = order.interval;
        let state = State {
            interval: Steps::new(ns, per * u64::from(self.streams)),
            ticks: Steps::new(order.ticks.0, order.ticks.1),
            due_ns: order.begin_ns,
            stop_ns: order.stop_ns,
            ahead_ns: order.ahead_ns,
            streams: self.streams,
            run: order.run,
            clock: order.clock,
            head: self.shape.head() as u32,
            body: self.shape.body() as u32,
            ..State::default()
        };
        Ok(self.state.set(0, state, 0)?)
    }

    /// Sends as ordered, on a thread of its own that keeps the core busy until [`Running::end`].
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn start(mut self, order: &Order, core: CoreId) -> Result<Running, XdpError> {
        self.order(order)?;
        let Self { mut object, state, lateness, shape, streams, ifindex } = self;
        // Its handler sets a flag that nobody reads; it must be there, or the signal would end the process.
        let nobody = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(NUDGE as i32, nobody).map_err(XdpError::Thread)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let seen = Arc::clone(&ended);
        let thread = thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || {
                core_affinity::set_for_current(core);
                // Those who end a run signal the process: another thread takes it.
                let _ = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_block();
                let _ = tell.send(pthread_self());
                let frame = vec![0; shape.frame()];
                while !seen.load(Ordering::Relaxed) {
                    run(&mut object, &frame, ifindex)?;
                }
                Ok(())
            })
            .map_err(XdpError::Thread)?;
        let id = told.recv().map_err(|_| XdpError::Object("thread"))?;
        Ok(Running { state, lateness, before: vec![0; BUCKETS], streams, ended, id, thread: Some(thread) })
    }
}

/// One system call that sends until it is interrupted. (It ends with waiting for an RCU grace period of some 20 ms, so
/// there is one for a run, not many.)
fn run(object: &mut Ebpf, frame: &[u8], ifindex: u32) -> Result<(), XdpError> {
    let context = context(frame.len() as u32, ifindex);
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        repeat: u32::MAX,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::new()
    };
    match xdp(object, PROGRAM)?.test_run(options).map_err(into_io) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(XdpError::Run(error)),
    }
}

/// `struct xdp_md` of the kernel: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
fn context(octets: u32, ifindex: u32) -> Vec<u8> {
    [0, octets, 0, ifindex, 0, 0].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
}

/// A generator at work.
pub struct Running {
    state: Array<State>,
    lateness: Array<Buckets>,
    before: Vec<u64>,
    streams: u32,
    ended: Arc<AtomicBool>,
    id: Pthread,
    thread: Option<JoinHandle<Result<(), XdpError>>>,
}

impl Running {
    /// Packets sent so far, and what each of its streams has sent: all this much, the first so many one more.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn sent(&self) -> Result<(u64, u64, u64), XdpError> {
        let sent = self.state.get(&0, 0)?.sent;
        let streams = u64::from(self.streams);
        Ok((sent, sent / streams, sent % streams))
    }

    /// Its streams.
    #[must_use]
    pub const fn streams(&self) -> u32 {
        self.streams
    }

    /// Packets that were due before this time of the monotonic clock and have not been sent.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn unsent(&self, at_ns: u64) -> Result<u64, XdpError> {
        let State { due_ns, interval, .. } = self.state.get(&0, 0)?;
        let interval_ns = interval.whole as f64 + interval.part as f64 / interval.denominator as f64;
        Ok((at_ns.saturating_sub(due_ns) as f64 / interval_ns).ceil() as u64)
    }

    /// How late packets were that were sent since the last call: nanoseconds, and how many.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn lateness(&mut self) -> Result<Vec<(u64, u64)>, XdpError> {
        Ok(grown(&self.lateness.get(&0, 0)?, &mut self.before))
    }

    /// Whether it has ended by itself, which it does only if the kernel refuses to go on.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it.
    ///
    /// # Errors
    /// Why the kernel refused to go on.
    pub fn end(&mut self) -> Result<(), XdpError> {
        self.ended.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // The signal may come before the system call that it is to interrupt.
        while !thread.is_finished() {
            let _ = pthread_kill(self.id, NUDGE);
            thread::sleep(Duration::from_millis(5));
        }
        thread.join().unwrap_or(Err(XdpError::Object("thread")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
