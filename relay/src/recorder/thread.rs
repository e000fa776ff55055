//! The thread that writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::queue::SegQueue;
use nix::sys::statvfs::statvfs;
use raceway_api::{RecordingProblem, RecordingState, SessionId};
use raceway_recording::{Beginning, Packet, Part, Secrets};
use raceway_units::Instant;
use zeroize::Zeroizing;

use super::files::{self, Files};
use super::{Figures, News, Order, Settings, Totals};
use crate::clock;
use crate::limits::RECORDED_MAX;
use crate::shared::{Copied, Shared};

/// How often queues are looked into while something is recorded.
const LOOK: Duration = Duration::from_millis(10);
/// How long nothing is looked at while nothing is recorded and nothing is said.
const IDLE: Duration = Duration::from_secs(3600);
/// What is older than this is on the disk, though it fills no chunk.
const FLUSH: Duration = Duration::from_secs(10);
/// Time between two looks at the room that the disk has.
const TEND: Duration = Duration::from_secs(1);
/// Time until what went wrong is tried again.
const RETRY: Duration = Duration::from_secs(5);

const PROGRAM: &str = concat!("Raceway ", env!("CARGO_PKG_VERSION"));

/// Writes recordings.
pub struct Writer {
    shared: Arc<Shared>,
    settings: Settings,
    news: Arc<SegQueue<News>>,
    totals: Arc<Totals>,
    open: HashMap<u32, Open>,
    /// What ends, and whether it is removed.
    ending: Vec<(u32, bool)>,
    /// What is to be written next; one memory for all.
    out: Vec<u8>,
    tended: Instant,
    /// The disk has room.
    room: bool,
    /// What was complained about last, so that a thousand recordings complain once.
    complaint: Option<RecordingProblem>,
}

/// A recording.
struct Open {
    session: SessionId,
    stem: String,
    note: String,
    figures: Arc<Figures>,
    writing: Option<Writing>,
    next_part: u32,
    /// When the next part is begun, after one went wrong; none if that is not worth trying.
    retry_at: Option<Instant>,
    /// Packets that are missing, as far as that is written in a part.
    lost_written: u64,
}

/// A part that grows.
struct Writing {
    part: Part,
    files: Files,
    /// Packets since the last write.
    fresh: u64,
    written_at: Instant,
}

/// Random, and new each time.
pub fn secrets() -> Secrets {
    let mut octets = Zeroizing::new([0; 64]);
    getrandom::fill(&mut *octets).expect("the kernel has random numbers");
    Secrets::from_random(&octets)
}

impl Writer {
    pub fn new(shared: Arc<Shared>, settings: Settings, news: Arc<SegQueue<News>>, totals: Arc<Totals>) -> Self {
        Self {
            shared,
            settings,
            news,
            totals,
            open: HashMap::new(),
            ending: Vec::new(),
            out: Vec::new(),
            tended: Instant::default(),
            room: true,
            complaint: None,
        }
    }

    /// Writes until nobody can give orders any more, and then ends what there is.
    pub fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let wait = match (self.ending.is_empty(), self.open.is_empty()) {
                (false, _) => Duration::ZERO,
                (true, false) => LOOK,
                (true, true) => IDLE,
            };
            match orders.recv_timeout(wait) {
                Ok(order) => self.hear(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            orders.try_iter().for_each(|order| self.hear(order));
            self.turn(orders);
            self.tend();
        }
        self.turn(orders);
        let recordings: Vec<u32> = self.open.keys().copied().collect();
        recordings.into_iter().for_each(|recording| self.end(recording, false));
    }

    /// Takes what is in the queues, and ends what was to end before that: its last packets are among them.
    fn turn(&mut self, orders: &Receiver<Order>) {
        let ending = std::mem::take(&mut self.ending);
        let shared = Arc::clone(&self.shared);
        for port in &shared.workers {
            for _ in 0..RECORDED_MAX {
                let Some(copied) = port.copies.full.pop() else { break };
                if !self.open.contains_key(&copied.recording) {
                    // It began a moment ago.
                    orders.try_iter().for_each(|order| self.hear(order));
                }
                self.record(&copied);
                // As many places as there are copies.
                let _ = port.copies.free.push(copied);
            }
        }
        ending.into_iter().for_each(|(recording, discard)| self.end(recording, discard));
    }

    fn hear(&mut self, order: Order) {
        match order {
            Order::Begin { recording, session, stem, note, figures } => {
                let mut open =
                    Open { session, stem, note, figures, writing: None, next_part: 1, retry_at: None, lost_written: 0 };
                self.look_at_disk();
                self.begin_part(recording, &mut open);
                self.open.insert(recording, open);
            }
            Order::End { recording, discard } => self.ending.push((recording, discard)),
        }
    }

    fn record(&mut self, copied: &Copied) {
        let Some(open) = self.open.get_mut(&copied.recording) else { return };
        let octets = open.figures.octets.load(Relaxed) + open.writing.as_ref().map_or(0, |w| w.part.unsealed() as u64);
        if open.writing.is_some() && octets >= self.settings.max_octets {
            self.stop_part(copied.recording, RecordingProblem::Limit);
            return self.miss(copied.recording);
        }
        let Some(writing) = &mut open.writing else { return self.miss(copied.recording) };
        let Copied { at, from, to, traffic_class, octets, .. } = *copied;
        let packet = Packet { at, from, to, traffic_class, payload: copied.payload(), octets };
        self.out.clear();
        writing.part.packet(&packet, &mut self.out);
        writing.fresh += 1;
        add(&open.figures.packets, &self.totals.packets, 1);
        self.write(copied.recording);
    }

    /// A packet that is in no file.
    fn miss(&mut self, recording: u32) {
        let Some(open) = self.open.get_mut(&recording) else { return };
        let limit = open.retry_at.is_none();
        let total = if limit { &self.totals.lost_limit } else { &self.totals.lost_disk };
        add(&open.figures.missed, total, 1);
    }

    /// Writes what was sealed of a recording.
    fn write(&mut self, recording: u32) {
        let Some(open) = self.open.get_mut(&recording) else { return };
        let Some(writing) = open.writing.as_mut().filter(|_| !self.out.is_empty()) else { return };
        match writing.files.append(&self.out) {
            Ok(()) => {
                add(&open.figures.octets, &self.totals.octets, self.out.len() as u64);
                (writing.fresh, writing.written_at) = (0, clock::now());
            }
            Err(problem) => self.fail(recording, problem),
        }
    }

    /// A part went wrong: what of it is on the disk stays, what is not is missing.
    fn fail(&mut self, recording: u32, problem: RecordingProblem) {
        let Some(mut open) = self.open.remove(&recording) else { return };
        let fresh = open.writing.take().map_or(0, |writing| writing.fresh);
        open.figures.packets.fetch_sub(fresh, Relaxed);
        self.totals.packets.fetch_sub(fresh, Relaxed);
        add(&open.figures.missed, &self.totals.lost_disk, fresh);
        self.failed(recording, &mut open, problem);
        self.open.insert(recording, open);
    }

    fn failed(&mut self, recording: u32, open: &mut Open, problem: RecordingProblem) {
        let now = clock::now();
        let again = !matches!(problem, RecordingProblem::Limit);
        open.retry_at = again.then(|| now.after(RETRY));
        self.totals.failures.fetch_add(1, Relaxed);
        self.tell(News::State(open.session, recording, RecordingState::Failed(problem)));
        if again && self.complaint.replace(problem) != Some(problem) {
            let directory = self.settings.directory.display();
            tracing::error!(%directory, ?problem, "recordings cannot be written; calls go on, and it is tried again");
        }
    }

    /// Begins the next part of a recording.
    fn begin_part(&mut self, recording: u32, open: &mut Open) {
        open.retry_at = None;
        match self.try_begin(open) {
            Ok((part, files, number)) => {
                open.figures.part.store(number, Relaxed);
                open.next_part = number + 1;
                open.writing = Some(Writing { part, files, fresh: 0, written_at: clock::now() });
                self.tell(News::State(open.session, recording, RecordingState::Writing));
                if self.complaint.take().is_some() {
                    tracing::info!("recordings are written again");
                }
            }
            Err(problem) => self.failed(recording, open, problem),
        }
    }

    fn try_begin(&self, open: &Open) -> Result<(Part, Files, u32), RecordingProblem> {
        if open.figures.octets.load(Relaxed) >= self.settings.max_octets {
            return Err(RecordingProblem::Limit);
        }
        if !self.room {
            return Err(RecordingProblem::Full);
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Nanoseconds since 1970 fit until 2554.
        let wall_ns = since_1970.as_nanos() as u64;
        let beginning = Beginning { note: &open.note, program: PROGRAM, now: clock::now(), wall_ns };
        let begun = Part::begin(&self.settings.public_key, &secrets(), &beginning);
        // The key was tried before the first recording.
        let (part, key) = begun.map_err(|_| RecordingProblem::Other(0))?;
        let (files, number) = Files::create(&self.settings.directory, &open.stem, open.next_part, &key)?;
        Ok((part, files, number))
    }

    /// Ends the part of a recording as it should end, and says why there is no other for now.
    fn stop_part(&mut self, recording: u32, problem: RecordingProblem) {
        self.finish(recording);
        let Some(mut open) = self.open.remove(&recording) else { return };
        self.failed(recording, &mut open, problem);
        self.open.insert(recording, open);
    }

    /// Ends the part of a recording.
    fn finish(&mut self, recording: u32) {
        let Some(open) = self.open.get_mut(&recording) else { return };
        let Some(mut writing) = open.writing.take() else { return };
        let lost = open.figures.lost.load(Relaxed) + open.figures.missed.load(Relaxed);
        self.out.clear();
        writing.part.finish(clock::now(), lost - open.lost_written, &mut self.out);
        match writing.files.append(&self.out) {
            Ok(()) => {
                open.lost_written = lost;
                add(&open.figures.octets, &self.totals.octets, self.out.len() as u64);
            }
            Err(problem) => self.fail(recording, problem),
        }
    }

    fn end(&mut self, recording: u32, discard: bool) {
        if !discard {
            self.finish(recording);
        }
        let Some(open) = self.open.remove(&recording) else { return };
        if discard {
            drop(open.writing);
            files::discard(&self.settings.directory, &open.stem, open.next_part - 1);
        }
        self.tell(News::Ended(recording));
    }

    /// Once a second: what is old goes to the disk, what went wrong is tried again, and a disk that is full gets no more.
    fn tend(&mut self) {
        let now = clock::now();
        if now.since(self.tended) < TEND {
            return;
        }
        self.tended = now;
        self.look_at_disk();
        let recordings: Vec<u32> = self.open.keys().copied().collect();
        for recording in recordings {
            let Some(open) = self.open.get_mut(&recording) else { continue };
            match &mut open.writing {
                Some(_) if !self.room => self.stop_part(recording, RecordingProblem::Full),
                Some(writing) if writing.fresh > 0 && now.since(writing.written_at) >= FLUSH => {
                    self.out.clear();
                    writing.part.flush(&mut self.out);
                    self.write(recording);
                }
                None if open.retry_at.is_some_and(|at| at <= now) => {
                    if let Some(mut open) = self.open.remove(&recording) {
                        self.begin_part(recording, &mut open);
                        self.open.insert(recording, open);
                    }
                }
                Some(_) | None => {}
            }
        }
    }

    fn look_at_disk(&mut self) {
        // What cannot be asked is found out by writing.
        let free = statvfs(&self.settings.directory).map(|disk| disk.blocks_available() * disk.fragment_size());
        self.room = free.map_or(true, |free| free >= self.settings.keep_free);
    }

    fn tell(&self, news: News) {
        self.news.push(news);
        self.shared.link.ring();
    }
}

fn add(one: &AtomicU64, total: &AtomicU64, more: u64) {
    one.fetch_add(more, Relaxed);
    total.fetch_add(more, Relaxed);
}
