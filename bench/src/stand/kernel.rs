//! The half of the benchmarks that runs in the kernel: generator, sink, reflectors (bench/xdp).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap, PerCpuArray, PerCpuValues};
use aya::programs::{Xdp, XdpMode};
use aya::util::nr_cpus;

use super::frames::{Load, Path, Stream, frame};
use super::netns::{pin, within};
use super::topology::Link;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../xdp/prebuilt/bench.o");

/// Frames that the kernel hands to the program, and then to the device, at once. A veth ring holds 256.
const BATCH: u32 = 16;
/// Runs of the generator's program in one system call: more than any run takes, since a signal ends it. (Each call
/// waits for an RCU grace period, some 20 ms, so there is one only.)
const RUNS: u32 = u32::MAX;

/// What the generator is told and what it says. Same layout as `Control` of the kernel half.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Control {
    burst_interval_q10: u64,
    burst: u32,
    streams: u32,
    sent: u64,
    due_q10: u64,
    first_q10: u64,
    last_q10: u64,
    late_ns: u64,
    intended_ns: u64,
    left: u32,
    next: u32,
    train: u32,
    coming: u32,
}

// SAFETY: plain integers without padding.
unsafe impl aya::Pod for Control {}

/// What a sink saw since it was told to forget. Same layout as `Seen` of the kernel half.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Packets.
    pub packets: u64,
    /// Octets of their frames.
    pub octets: u64,
    last_ns: u64,
    /// The longest time between two packets, nanoseconds.
    pub gap_ns: u64,
}

// SAFETY: plain integers without padding.
unsafe impl aya::Pod for Seen {}

/// Counts of delays. Same layout as a value of `DELAYS` of the kernel half.
type Buckets = [u64; 2048];

fn load(program: &str) -> Result<Ebpf> {
    let mut object = Ebpf::load(OBJECT).context("the kernel refused the benchmark's object")?;
    let loaded: &mut Xdp = object.program_mut(program).context("no such program")?.try_into()?;
    loaded.load().with_context(|| format!("the verifier refused {program}"))?;
    Ok(object)
}

/// An attached program; detached on drop.
pub struct Attached {
    object: Ebpf,
}

impl Attached {
    /// Loads a program and attaches it to a device of a namespace, in the driver.
    pub fn new(program: &str, namespace: &str, device: &str) -> Result<Self> {
        let mut object = load(program)?;
        within(namespace, || {
            let xdp: &mut Xdp = object.program_mut(program).context("no such program")?.try_into()?;
            xdp.attach(device, XdpMode::Driver).with_context(|| format!("cannot attach {program} to {device}"))?;
            Ok(())
        })?;
        Ok(Self { object })
    }

    /// Makes a sink begin anew.
    pub fn forget(&mut self) -> Result<()> {
        let cpus = nr_cpus().map_err(|(_, error)| error).context("no number of processors")?;
        let mut seen: PerCpuArray<_, Seen> =
            PerCpuArray::try_from(self.object.map_mut("SEEN").context("no map SEEN")?)?;
        seen.set(0, PerCpuValues::try_from(vec![Seen::default(); cpus])?, 0)?;
        let mut delays: PerCpuArray<_, Buckets> =
            PerCpuArray::try_from(self.object.map_mut("DELAYS").context("no map DELAYS")?)?;
        Ok(delays.set(0, PerCpuValues::try_from(vec![[0; 2048]; cpus])?, 0)?)
    }

    /// What a sink has counted.
    pub fn seen(&self) -> Result<Seen> {
        let seen: PerCpuArray<_, Seen> = PerCpuArray::try_from(self.object.map("SEEN").context("no map SEEN")?)?;
        let add = |sum: Seen, each: &Seen| Seen {
            packets: sum.packets + each.packets,
            octets: sum.octets + each.octets,
            last_ns: 0,
            gap_ns: sum.gap_ns.max(each.gap_ns),
        };
        Ok(seen.get(&0, 0)?.iter().fold(Seen::default(), add))
    }

    /// Packets by their delay, in buckets as [`Delays::of_buckets`](super::delay::Delays::of_buckets) takes them.
    pub fn delays(&self) -> Result<Vec<u64>> {
        let delays: PerCpuArray<_, Buckets> =
            PerCpuArray::try_from(self.object.map("DELAYS").context("no map DELAYS")?)?;
        let values = delays.get(&0, 0)?;
        Ok((0..2048).map(|bucket| values.iter().map(|buckets| buckets[bucket]).sum()).collect())
    }

    /// Tells a reflector the flows it will find.
    pub fn flows(&mut self, paths: &[Path]) -> Result<()> {
        let mut flows: HashMap<_, [u32; 3], u64> =
            HashMap::try_from(self.object.map_mut("FLOWS").context("no map FLOWS")?)?;
        for path in paths {
            let (from, to) = (path.from.port().to_be_bytes(), path.to.port().to_be_bytes());
            let ports = u32::from_ne_bytes([from[0], from[1], to[0], to[1]]);
            let key = [u32::from_ne_bytes(path.from.ip().octets()), u32::from_ne_bytes(path.to.ip().octets()), ports];
            flows.insert(key, 0, 0)?;
        }
        Ok(())
    }

    /// Tells `lookup_redirect` where to send.
    pub fn egress(&mut self, ifindex: u32) -> Result<()> {
        let mut egress: Array<_, u32> = Array::try_from(self.object.map_mut("EGRESS").context("no map EGRESS")?)?;
        Ok(egress.set(0, ifindex, 0)?)
    }
}

/// What a stretch of sending came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Frames handed to the device.
    pub packets: u64,
    /// Time by which the generator came later than it can make good, all in all.
    pub late: Duration,
    /// Time it took.
    pub time: Duration,
}

/// Sends streams out of a far end, in the kernel.
pub struct Generator {
    object: Ebpf,
    frame: Vec<u8>,
    link: Link,
    load: Load,
}

impl Generator {
    /// Loads the generator with one stream for each path; all of them framed alike.
    pub fn new(link: &Link, paths: &[Path], load: Load) -> Result<Self> {
        let mut object = self::load("generate")?;
        let mut streams: Array<_, Stream> = Array::try_from(object.map_mut("STREAMS").context("no map STREAMS")?)?;
        let mut first = None;
        for (number, path) in (0..).zip(paths) {
            let (frame, stream) = frame(*path, link.mac, link.relay_mac, number, load.rtp_octets);
            streams.set(number, stream, 0)?;
            first.get_or_insert(frame);
        }
        let frame = first.context("a generator needs a path")?;
        let load = Load { flows: u32::try_from(paths.len())?, ..load };
        Ok(Self { object, frame, link: link.clone(), load })
    }

    /// Sends `rate` packets a second (zero: as fast as it goes) for a time, from `core`.
    pub fn send(&mut self, rate: u64, time: Duration, core: usize) -> Result<Sent> {
        let namespace = self.link.namespace.clone();
        within(&namespace, || {
            pin(0, core)?;
            self.start(rate)?;
            interrupted_after(time, || self.call())?;
            let control = self.control()?.get(&0, 0)?;
            let time = Duration::from_nanos((control.last_q10 - control.first_q10) >> 10);
            Ok(Sent { packets: control.sent, late: Duration::from_nanos(control.late_ns), time })
        })
    }

    fn control(&mut self) -> Result<Array<&mut aya::maps::MapData, Control>> {
        Ok(Array::try_from(self.object.map_mut("CONTROL").context("no map CONTROL")?)?)
    }

    fn start(&mut self, rate: u64) -> Result<()> {
        let Load { burst, flows: streams, train, .. } = self.load;
        let burst_interval_q10 = ((u64::from(burst) * 1_000_000_000) << 10).checked_div(rate).unwrap_or(0);
        let control = Control { burst_interval_q10, burst, streams, train, coming: train, ..Control::default() };
        Ok(self.control()?.set(0, control, 0)?)
    }

    /// One `BPF_PROG_TEST_RUN` of live frames.
    fn call(&mut self) -> Result<()> {
        let program: &Xdp = self.object.program("generate").context("no generator")?.try_into()?;
        let context = XdpMd {
            data_end: u32::try_from(self.frame.len())?,
            ingress_ifindex: self.link.ifindex,
            ..XdpMd::default()
        };
        let attributes = TestRun {
            prog_fd: u32::try_from(program.fd()?.as_fd().as_raw_fd())?,
            data_size_in: u32::try_from(self.frame.len())?,
            data_in: self.frame.as_ptr() as u64,
            repeat: RUNS,
            ctx_size_in: u32::try_from(size_of::<XdpMd>())?,
            ctx_in: &raw const context as u64,
            flags: BPF_F_TEST_XDP_LIVE_FRAMES,
            batch_size: BATCH,
            ..TestRun::default()
        };
        // SAFETY: the kernel reads `attributes`, and through it the frame and the context, which all live until
        // the call returns; it writes only to `attributes`' own fields of the kernel's copy.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw const attributes, size_of::<TestRun>()) };
        if result < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                bail!("BPF_PROG_TEST_RUN on {}: {error}", self.link.device);
            }
        }
        Ok(())
    }
}

/// Does `work` on this thread and interrupts its system call after a time.
fn interrupted_after(time: Duration, work: impl FnOnce() -> Result<()>) -> Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, so it may run anywhere; the structure is initialised, without SA_RESTART. The
    // ids are those of this process and this thread.
    let (process, thread) = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
        (libc::getpid(), libc::gettid())
    };
    thread::scope(|scope| {
        let alarm = scope.spawn(move || {
            thread::sleep(time);
            // SAFETY: takes numbers; the thread joins this one before it ends, so its id is still its own.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
        });
        let done = work();
        alarm.join().expect("the alarm thread does not panic");
        done
    })
}

const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// `struct xdp_md` of the kernel.
#[repr(C)]
#[derive(Default)]
struct XdpMd {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// `test` of the kernel's `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}
