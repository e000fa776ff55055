//! All calls of a run, and the commands that are on their way.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use raceway_units::Instant;

use super::description::{Formats, Party, Told};
use super::figures::{Figures, Stage};
use super::message::{self, Cookie, Reply};
use crate::wheel::Wheel;

/// When commands are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From one transmission to the next.
    pub every: Duration,
    /// Transmissions, after which the command has failed.
    pub sent_max: u32,
}

impl Default for Timing {
    /// Half a second, for five seconds: as proxies do, who have a caller waiting.
    fn default() -> Self {
        Self { every: Duration::from_millis(500), sent_max: 10 }
    }
}

/// How many calls are set up at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As many commands as this wait for their answers, and no more.
    Window(NonZeroU32),
    /// Calls begun each second, whatever became of those before: a slow relay is not asked less. What it is late by counts.
    PerSecond(NonZeroU32),
}

/// How a call goes on that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Until [`Switchboard::close`].
    Stay,
    /// It is deleted after this time, and made anew.
    Again(Duration),
}

/// What all calls of a run have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of the run, in the names of calls: other runs at the same relay have others.
    pub run: u32,
    /// What is sent.
    pub formats: Formats,
    /// How fast.
    pub pace: Pace,
    /// How long.
    pub course: Course,
    /// How patiently.
    pub timing: Timing,
    /// When the first call is due.
    pub begin: Instant,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Event {
    /// It was answered: media may flow.
    Up {
        /// The call.
        call: u32,
        /// How often it was made before.
        turn: u32,
        /// What the caller was told, and the callee.
        told: Box<[Told; 2]>,
    },
    /// It could not be made, or not be ended.
    Failed {
        /// The call.
        call: u32,
    },
    /// It was deleted.
    Over {
        /// The call.
        call: u32,
    },
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is to begin.
    Waiting,
    /// A command is to be sent, or was.
    Asking { stage: Stage, sent: u32, since: Instant },
    /// It was answered.
    Up,
    /// It was deleted, or never made, and is not to be made again.
    Over,
}

#[derive(Debug)]
struct Call {
    parties: [Party; 2],
    state: State,
    turn: u32,
    /// When it was to begin.
    due: Instant,
    /// The callee's answer: the tag of its line for keys, and whether it has RTCP on the port of RTP.
    answer: (u32, bool),
    told_callee: Option<Told>,
}

/// All calls of a run. Calls are known by their number, from zero.
#[derive(Debug)]
pub struct Switchboard {
    settings: Settings,
    calls: Vec<Call>,
    /// When each call has something to do that has a time.
    wheel: Wheel,
    /// Calls that have something to do once fewer commands are on their way.
    queue: VecDeque<u32>,
    /// Commands on their way.
    asking: u32,
    /// Calls that are neither up nor over.
    unsettled: usize,
    /// No call is made any more.
    stopped: bool,
    /// Anything was ever answered.
    heard: bool,
    events: VecDeque<Event>,
    figures: Figures,
    out: Vec<u8>,
    lateness: Option<Duration>,
}

/// Commands that wait for answers while calls are ended all at once.
const CLOSING_WINDOW: u32 = 32;

impl Switchboard {
    /// Calls between these parties, caller first.
    #[must_use]
    pub fn new(settings: Settings, parties: impl ExactSizeIterator<Item = [Party; 2]>) -> Self {
        let begin = settings.begin;
        let count = parties.len();
        let mut board = Self {
            wheel: Wheel::new(count as u32, begin),
            queue: VecDeque::new(),
            asking: 0,
            unsettled: count,
            stopped: false,
            heard: false,
            events: VecDeque::new(),
            figures: Figures { first: Some(begin), ..Figures::default() },
            out: Vec::new(),
            lateness: None,
            calls: parties
                .map(|parties| {
                    let (turn, answer, told_callee) = (0, (0, false), None);
                    Call { parties, state: State::Waiting, turn, due: begin, answer, told_callee }
                })
                .collect(),
            settings,
        };
        for call in 0..count as u32 {
            board.await_turn(call);
        }
        board
    }

    /// A call begins when its time has come.
    fn await_turn(&mut self, number: u32) {
        let calls = self.calls.len() as u64;
        let call = &mut self.calls[number as usize];
        call.state = State::Waiting;
        match self.settings.pace {
            Pace::Window(_) => self.queue.push_back(number),
            Pace::PerSecond(rate) => {
                let place = u64::from(call.turn) * calls + u64::from(number);
                let after = Duration::from_nanos((u128::from(place) * 1_000_000_000 / u128::from(rate.get())) as u64);
                call.due = self.settings.begin.after(after);
                self.wheel.schedule(number, call.due);
            }
        }
    }

    /// Takes a datagram of the relay.
    pub fn handle(&mut self, datagram: &[u8], now: Instant) {
        let Some((cookie, reply)) = message::read(datagram) else {
            self.figures.unexpected += 1;
            return;
        };
        let Cookie { run, call: number, turn, stage } = cookie;
        let waits = self.calls.get(number as usize).is_some_and(|call| {
            run == self.settings.run
                && turn == call.turn
                && matches!(call.state, State::Asking { stage: asked, sent, .. } if asked == stage && sent > 0)
        });
        if !waits {
            // The answer to one that was sent twice comes twice.
            self.figures.unexpected += u64::from(self.figures.repeated == 0);
            return;
        }
        self.heard = true;
        self.asking -= 1;
        self.wheel.cancel(number);
        let State::Asking { since, .. } = self.calls[number as usize].state else { return };
        self.figures.took_us[stage as usize].saturating_record(now.since(since).as_micros() as u64);
        match reply {
            Reply::Ok { sdp, counted } => {
                self.figures.counted(counted.filter(|_| stage == Stage::Delete));
                self.carried_out(number, stage, sdp.as_deref().unwrap_or_default(), now);
            }
            Reply::Refused(reason) => self.fail(number, stage, &reason, now),
        }
    }

    fn carried_out(&mut self, number: u32, stage: Stage, sdp: &[u8], now: Instant) {
        let call = &mut self.calls[number as usize];
        match stage {
            // What the relay gives for the offer is for the callee, and the other way round.
            Stage::Offer => match Told::read(sdp, &call.parties[1]) {
                Err(reason) => self.fail(number, stage, &reason, now),
                Ok(told) => {
                    call.answer = (told.tag, told.mux);
                    call.told_callee = Some(told);
                    self.ask(number, Stage::Answer, now);
                }
            },
            Stage::Answer => match (Told::read(sdp, &call.parties[0]), call.told_callee.take()) {
                (Ok(caller), Some(callee)) => self.up(number, Box::new([caller, callee]), now),
                (Err(reason), _) => self.fail(number, stage, &reason, now),
                (Ok(_), None) => self.fail(number, stage, "it was not offered", now),
            },
            Stage::Delete => {
                self.figures.deleted += 1;
                self.events.push_back(Event::Over { call: number });
                self.next_turn(number);
            }
        }
    }

    fn up(&mut self, number: u32, told: Box<[Told; 2]>, now: Instant) {
        let call = &mut self.calls[number as usize];
        call.state = State::Up;
        self.unsettled -= 1;
        self.figures.answered += 1;
        self.figures.last = Some(now);
        self.figures.set_up_us.saturating_record(now.since(call.due).as_micros() as u64);
        self.events.push_back(Event::Up { call: number, turn: call.turn, told });
        match self.settings.course {
            _ if self.stopped => self.close(number, now),
            Course::Again(hold) if hold.is_zero() => self.close(number, now),
            Course::Again(hold) => self.wheel.schedule(number, now.after(hold)),
            Course::Stay => {}
        }
    }

    fn fail(&mut self, number: u32, stage: Stage, reason: &str, now: Instant) {
        self.figures.fail(stage, reason);
        self.calls[number as usize].told_callee = None;
        self.events.push_back(Event::Failed { call: number });
        match stage {
            // The relay has the half of it.
            Stage::Answer => self.ask(number, Stage::Delete, now),
            Stage::Offer | Stage::Delete => self.next_turn(number),
        }
    }

    /// A call is over; it is made again, or not.
    fn next_turn(&mut self, number: u32) {
        let call = &mut self.calls[number as usize];
        let again = matches!(self.settings.course, Course::Again(_)) && !self.stopped;
        if !again {
            self.unsettled -= usize::from(call.is_unsettled());
            call.state = State::Over;
            return;
        }
        self.unsettled += usize::from(!call.is_unsettled());
        call.turn += 1;
        self.await_turn(number);
    }

    fn ask(&mut self, number: u32, stage: Stage, now: Instant) {
        self.calls[number as usize].state = State::Asking { stage, sent: 0, since: now };
        self.asking += 1;
        self.wheel.schedule(number, now);
    }

    /// A call that is up is to be deleted.
    pub fn close(&mut self, number: u32, now: Instant) {
        let call = &mut self.calls[number as usize];
        if call.state != State::Up {
            return;
        }
        match self.settings.pace {
            Pace::Window(_) => self.queue.push_back(number),
            Pace::PerSecond(_) => {
                self.unsettled += 1;
                self.ask(number, Stage::Delete, now);
            }
        }
    }

    /// Makes no more calls; deletes those that are up.
    pub fn stop(&mut self) {
        self.stopped = true;
        let window = NonZeroU32::new(CLOSING_WINDOW).expect("not zero");
        if matches!(self.settings.pace, Pace::PerSecond(_)) {
            self.settings.pace = Pace::Window(window);
        }
        self.queue.clear();
        for (number, call) in (0..).zip(&mut self.calls) {
            match call.state {
                State::Up => self.queue.push_back(number),
                State::Waiting => {
                    self.unsettled -= 1;
                    call.state = State::Over;
                }
                State::Asking { .. } | State::Over => continue,
            }
            self.wheel.cancel(number);
        }
    }

    /// The next datagram for the relay, if one is due. To be asked until there is none.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        loop {
            let number = match self.wheel.poll(now) {
                Some((number, _)) => number,
                None => self.next_of_queue()?,
            };
            if self.act(number, now) {
                return Some(&self.out);
            }
        }
    }

    fn next_of_queue(&mut self) -> Option<u32> {
        let Pace::Window(window) = self.settings.pace else { return None };
        if self.asking >= window.get() { None } else { self.queue.pop_front() }
    }

    /// A call does what it is time for; whether there is a datagram now.
    fn act(&mut self, number: u32, now: Instant) -> bool {
        let call = &mut self.calls[number as usize];
        match call.state {
            State::Waiting => {
                self.figures.offered += 1;
                match self.settings.pace {
                    // It was not due before there was room for it.
                    Pace::Window(_) => call.due = now,
                    Pace::PerSecond(_) => self.lateness = Some(now.since(call.due)),
                }
                self.ask(number, Stage::Offer, now);
                self.wheel.cancel(number);
                self.transmit(number, now)
            }
            State::Up => {
                self.unsettled += 1;
                self.ask(number, Stage::Delete, now);
                self.wheel.cancel(number);
                self.transmit(number, now)
            }
            State::Asking { .. } => self.transmit(number, now),
            State::Over => false,
        }
    }

    fn transmit(&mut self, number: u32, now: Instant) -> bool {
        let Timing { every, sent_max } = self.settings.timing;
        let call = &mut self.calls[number as usize];
        let State::Asking { stage, sent, since } = call.state else { return false };
        if sent == sent_max {
            self.asking -= 1;
            // Nobody knows whether the relay has the call; it will see that no media comes.
            self.figures.fail(stage, "no answer");
            self.events.push_back(Event::Failed { call: number });
            self.next_turn(number);
            return false;
        }
        let since = if sent == 0 { now } else { since };
        call.state = State::Asking { stage, sent: sent + 1, since };
        self.figures.repeated += u64::from(sent > 0);
        let cookie = Cookie { run: self.settings.run, call: number, turn: call.turn, stage };
        let [caller, callee] = &call.parties;
        let session = u64::from(number) << 32 | u64::from(call.turn);
        let formats = &self.settings.formats;
        let (sdp, other) = match stage {
            Stage::Offer => (Some(caller.describe(formats, session, 1, true)), callee.transport()),
            Stage::Answer => {
                let (tag, mux) = call.answer;
                (Some(callee.describe(formats, session, tag, mux)), caller.transport())
            }
            Stage::Delete => (None, caller.transport()),
        };
        message::write(cookie, sdp.as_deref().map(|sdp| (sdp, other)), &mut self.out);
        self.wheel.schedule(number, now.after(every));
        true
    }

    /// What became of a call, since the last time.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How late the last call was that began at a rate, once.
    pub const fn poll_lateness(&mut self) -> Option<Duration> {
        self.lateness.take()
    }

    /// When something is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// Each call is up or over.
    #[must_use]
    pub const fn are_settled(&self) -> bool {
        self.unsettled == 0
    }

    /// Each call is over.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.unsettled == 0 && self.queue.is_empty() && self.calls.iter().all(|call| call.state == State::Over)
    }

    /// The relay has never answered anything.
    #[must_use]
    pub const fn is_deaf(&self) -> bool {
        !self.heard
    }

    /// What was counted.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }
}

impl Call {
    const fn is_unsettled(&self) -> bool {
        matches!(self.state, State::Waiting | State::Asking { .. })
    }
}

#[cfg(test)]
mod tests;
