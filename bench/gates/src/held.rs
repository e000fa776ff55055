//! What an idle call takes in both programs: control's core, and the link thread and a worker of the relay, all in one thread.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use raceway_api::{Leg, LegReport, Operation, RelayPorts, SessionId, SessionReport, ToRelay, Traffic};
use raceway_media::{Answer, Calls, Command, Interface, Offer, RequestId, Settings};
use raceway_relay::clock;
use raceway_relay::link::{Failure, State};
use raceway_relay::worker::Worker;
use raceway_sys::allocations::held_by_this_thread;
use raceway_sys::mmsg::Mmsg;
use raceway_units::{Instant, UnixTime};

use crate::figures::Table;
use crate::worker::relay_of;

/// Calls before those that are counted, and after: just before tables double, so that what doubles is counted as full.
const BEFORE: usize = 112;
const AFTER: usize = 224;
/// Flows of all of them, and twice as many as there are sockets.
const FLOWS_MAX: u32 = 2048;
/// Control and relay are told apart by who did it.
const CONTROL: usize = 0;
const RELAY: usize = 1;

/// Both programs, and octets that each holds.
struct Both {
    calls: Calls,
    state: State,
    worker: Worker<Mmsg>,
    held: [i64; 2],
    requests: u64,
    /// Stands still, so that nothing comes due, however long this takes.
    now: Instant,
}

/// Octets of a call of two parties without media, answered and looked at once.
///
/// # Errors
/// A call could not be made.
pub fn count() -> Result<Table> {
    let mut both = Both::new()?;
    for number in 0..BEFORE {
        both.call(number)?;
    }
    let before = both.held;
    for number in BEFORE..AFTER {
        both.call(number)?;
    }
    let each = |program: usize| (both.held[program] - before[program]) as f64 / (AFTER - BEFORE) as f64;
    Ok([("an idle call, in control", CONTROL), ("an idle call, in the relay", RELAY)]
        .map(|(name, program)| (name.to_owned(), each(program)))
        .into())
}

impl Both {
    fn new() -> Result<Self> {
        let (shared, state) = relay_of(FLOWS_MAX)?;
        let io = Mmsg::new(shared.sockets.places(), 0, shared.workers[0].waker.clone()).context("epoll")?;
        let worker = Worker::new(0, Arc::clone(&shared), io, 5);
        let address = [127, 0, 0, 1].into();
        let ports = RelayPorts { first: 20_000, last: 39_999 };
        let interface = Interface { name: "default".to_owned(), address, advertised: address, ports };
        let mut last = 1_u64;
        let random = move |octets: &mut [u8]| {
            for octet in octets {
                last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *octet = (last >> 56) as u8;
            }
        };
        let calls = Calls::new(Settings::new(vec![interface]), Box::new(random))?;
        Ok(Self { calls, state, worker, held: [0; 2], requests: 0, now: clock::now() })
    }

    /// A call as a SIP proxy makes it, looked at once.
    fn call(&mut self, number: usize) -> Result<()> {
        let call_id = || format!("call-{number}@127.0.0.2");
        let from_tag = || format!("from-{number}");
        let body = |port: u16| {
            let media = format!("c=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n");
            format!("v=0\r\no=- {number} 1 IN IP4 127.0.0.2\r\ns=-\r\n{media}").into_bytes()
        };
        let mut legs = self.command(|| {
            let (call_id, from_tag, sdp) = (call_id(), from_tag(), body(4000));
            Command::Offer(Offer { call_id, from_tag, sdp, ..Offer::default() })
        })?;
        let session = legs.0;
        legs = self.command(|| {
            let (call_id, from_tag, sdp) = (call_id(), from_tag(), body(5000));
            Command::Answer(Answer { call_id, from_tag, to_tag: format!("to-{number}"), sdp, ..Answer::default() })
        })?;
        ensure!(legs.0 == session && legs.1.len() == 2, "an answer puts both legs");
        self.look(&legs.1, session)
    }

    /// What control learns of the call in its first second.
    fn look(&mut self, legs: &[Leg<'_>], session: SessionId) -> Result<()> {
        let reports = legs.iter().map(|leg| LegReport {
            id: leg.id,
            leg: None,
            rtp_remote: leg.rtp.remote,
            rtcp_remote: leg.rtcp.and_then(|rtcp| rtcp.remote),
            rtp_settled: false,
            rtcp_settled: false,
            received: Traffic::default(),
            sent: Traffic::default(),
            dropped: Vec::new(),
            last_rtp_ns: 0,
            last_rtcp_ns: 0,
            round_trip_us: None,
            ssrc_changes: 0,
            streams: Vec::new(),
            translates: false,
            goodbyes: 0,
            extended_reports: 0,
            rollovers: Vec::new(),
        });
        let report = SessionReport {
            id: session,
            worker: 0,
            expires_at_ns: 0,
            blob: Vec::new().into(),
            relayed: Vec::new(),
            media: Vec::new(),
            flows: Vec::new(),
            legs: reports.collect(),
            recording: None,
        };
        self.within(CONTROL, |both| both.calls.handle_report(both.now, &report));
        let told = self.within(CONTROL, |both| both.calls.poll_output());
        ensure!(told.is_none(), "nothing has changed");
        Ok(())
    }

    /// Does something, and counts what is held afterwards for one of the programs.
    fn within<T>(&mut self, program: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = held_by_this_thread();
        let done = act(self);
        self.held[program] += held_by_this_thread() - before;
        done
    }

    /// Carries out a command to its end; the session, and the legs that were put.
    fn command(&mut self, command: impl FnOnce() -> Command) -> Result<(SessionId, Vec<Leg<'static>>)> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.within(CONTROL, |both| both.calls.handle_command(both.now, UnixTime(1), request, command()));
        let mut put = (SessionId(0), Vec::new());
        while let Some(message) = self.within(CONTROL, |both| both.calls.poll_output()) {
            let ToRelay::Apply { transaction, session, operations, .. } = &message else { bail!("{message:?}") };
            let applied = self.within(RELAY, |both| both.apply(*session, operations))?;
            self.within(CONTROL, |both| match applied {
                Ok(()) => both.calls.handle_applied(both.now, *transaction),
                Err(failure) => both.calls.handle_failed(both.now, *transaction, failure.error),
            });
            put = (*session, put.1);
            put.1.extend(operations.iter().filter_map(|operation| match operation {
                Operation::PutLeg(leg) => Some((**leg).clone()),
                _ => None,
            }));
            self.within(CONTROL, |_| drop(message));
        }
        match self.within(CONTROL, |both| both.calls.poll_outcome().map(|(_, outcome)| outcome.map(drop))) {
            Some(Ok(())) => Ok(put),
            other => bail!("a call could not be made: {other:?}"),
        }
    }

    /// The worker takes what it is told of, as it does when it is woken.
    fn apply(&mut self, session: SessionId, operations: &[Operation<'_>]) -> Result<Result<(), Failure>> {
        let applied = self.state.apply(self.now, session, operations);
        self.state.settle();
        self.worker.turn()?;
        self.state.advance(clock::now());
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle call may take of both programs together.
    const IDLE_CALL_MAX: f64 = 8192.0;

    #[test]
    fn an_idle_call_takes_at_most_eight_kib() {
        let held = count().unwrap();
        println!("{held:?}");
        assert!(held.values().all(|octets| *octets > 500.0), "{held:?}");
        assert!(held.values().sum::<f64>() <= IDLE_CALL_MAX, "{held:?}");
    }
}
