//! What `/metrics` asks for.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{Action, COUNTERS, Counter, DropReason};
use raceway_api::Statistics;
use raceway_units::Instant;

use super::report::{forwards_in_xdp, jitter_of};
use super::state::State;
use crate::shared::Shared;

/// Upper bounds of the jitter buckets in microseconds: 1 ms to 500 ms.
const JITTER_BOUNDS_US: [u32; 9] = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000];

/// How busy workers were, from one question to the next.
pub struct BusyMeter {
    asked_at: Instant,
    run_ns: Vec<u64>,
}

impl BusyMeter {
    /// Starts to measure.
    #[must_use]
    pub fn new(now: Instant, workers: usize) -> Self {
        Self { asked_at: now, run_ns: vec![0; workers] }
    }

    /// Share of the time since the last call that each worker's thread ran, in parts of a million.
    ///
    /// A worker waits nowhere but in io_uring, so the time that its thread ran is the time it did not wait there.
    fn read(&mut self, now: Instant, shared: &Shared) -> Vec<u32> {
        let passed = (now.since(self.asked_at).as_nanos() as u64).max(1);
        self.asked_at = now;
        let ports = shared.workers.iter();
        let ppm = ports.zip(&mut self.run_ns).map(|(port, before)| {
            let run = thread_run_ns(port.thread.load(Relaxed)).unwrap_or(*before);
            let ran = run.saturating_sub(std::mem::replace(before, run));
            (u128::from(ran) * 1_000_000 / u128::from(passed)).min(1_000_000) as u32
        });
        ppm.collect()
    }
}

/// Nanoseconds that a thread of this process has run.
fn thread_run_ns(thread: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

impl State {
    /// Everything at once. Reads each record in use; disturbs no worker.
    pub fn statistics(&mut self, now: Instant, busy: &mut BusyMeter) -> Statistics {
        let mut statistics = Statistics {
            xdp: self.flows.fast_path.counters(),
            worker: self.worker_counters(),
            sessions: self.sessions.len() as u64,
            rtp_lost: self.flows.ended_rtp_lost(),
            rtp_jitter_counts: vec![0; JITTER_BOUNDS_US.len() + 1],
            rtp_jitter_bounds_us: JITTER_BOUNDS_US.to_vec(),
            worker_busy_ppm: busy.read(now, &self.shared),
            interfaces: self.flows.fast_path.interfaces(),
            recording: self.recordings.figures(),
            ..Statistics::default()
        };
        self.flows.slots().for_each(|slot| self.add_flow(&mut statistics, slot));
        // A packet that comes late was counted as lost before; who reads the sum takes a step down for a restart.
        self.rtp_lost_told = self.rtp_lost_told.max(statistics.rtp_lost);
        statistics.rtp_lost = self.rtp_lost_told;
        statistics
    }

    fn add_flow(&self, statistics: &mut Statistics, slot: u32) {
        let record = self.flows.record(slot);
        if record.action() == Action::None {
            return;
        }
        if self.flows.fast_path.is_on() && forwards_in_xdp(record) {
            statistics.flows_xdp += 1;
        } else {
            statistics.flows_worker += 1;
        }
        statistics.rtp_lost += u64::from(record.measured.rtp.lost.load(Relaxed));
        let Some(jitter) = jitter_of(record) else { return };
        let bucket = JITTER_BOUNDS_US.partition_point(|bound| *bound < jitter);
        statistics.rtp_jitter_counts[bucket] += 1;
        statistics.rtp_jitter_sum_us += u64::from(jitter);
    }

    /// What workers and link thread counted, and what the kernel dropped before a worker saw it.
    fn worker_counters(&self) -> Vec<u64> {
        let mut sum = vec![0u64; COUNTERS as usize];
        let counters = self.shared.workers.iter().map(|port| &*port.counters);
        for counters in counters.chain([&self.shared.link_counters]) {
            for (sum, value) in sum.iter_mut().zip(counters.values()) {
                *sum = sum.wrapping_add(value);
            }
        }
        sum[Counter::drops(DropReason::QueueFull).index() as usize] += self.sockets.queue_drops();
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant as Stopwatch};

    use raceway_abi::DropReason;
    use raceway_api::{Flow, FlowAction, FlowId, Framing, Match, Operation, Remote, SessionId};

    use super::*;
    use crate::clock;
    use crate::link::state::tests::state;

    const FLOWS: u32 = 100_000;
    const FLOWS_A_SESSION: u32 = 50;

    /// Sessions full of flows that drop: they need no sockets but one relayed address a session.
    fn fill(state: &mut State) {
        let expires_at_ns = clock::now().after(Duration::from_secs(600)).as_ns();
        for session in 0..FLOWS / FLOWS_A_SESSION {
            let local = ([127, 0, 0, 3], 10_000 + session as u16).into();
            let mut operations = vec![
                Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: (&[][..]).into() },
                Operation::OpenRelayed { address: local, external: local },
            ];
            operations.extend((0..FLOWS_A_SESSION).map(|id| {
                let remote = Remote::Exact(([192, 0, 2, 1], 1 + id as u16).into());
                let matches = Match { remote, local, framing: Framing::Plain };
                Operation::PutFlow(Flow { id: FlowId(id), matches, action: FlowAction::Drop, expires_at_ns })
            }));
            state.apply(clock::now(), SessionId(session.into()), &operations).expect("room");
        }
    }

    #[test]
    fn a_hundred_thousand_flows_are_summed_up_in_no_time_and_by_what_they_measured() {
        let mut state = state(FLOWS as usize + 1);
        fill(&mut state);
        for (slot, jitter_q4) in [(0, 16 * 8), (1, 16 * 8 * 3), (2, 16 * 8 * 1000)] {
            let rtp = &state.shared.table.records()[slot].measured.rtp;
            rtp.clock_hz.store(8000, Relaxed);
            rtp.jitter_q4.store(jitter_q4, Relaxed);
            rtp.lost.store(10, Relaxed);
        }
        let mut busy = BusyMeter::new(clock::now(), 1);
        let started = Stopwatch::now();
        let statistics = state.statistics(clock::now(), &mut busy);
        let took = started.elapsed();
        assert!(took < Duration::from_millis(200), "{took:?}");
        assert_eq!((statistics.flows_worker, statistics.flows_xdp), (u64::from(FLOWS), 0));
        assert_eq!(statistics.rtp_lost, 30);
        state.shared.table.records()[0].measured.rtp.lost.store(5, Relaxed);
        assert_eq!(state.statistics(clock::now(), &mut busy).rtp_lost, 30, "a late packet takes nothing back");
        // 1, 3 and 1000 ms.
        assert_eq!(statistics.rtp_jitter_counts, [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(statistics.rtp_jitter_sum_us, 1_004_000);
        assert_eq!(statistics.worker[Counter::drops(DropReason::QueueFull).index() as usize], 0);
    }
}
