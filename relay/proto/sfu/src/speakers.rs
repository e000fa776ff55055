//! Who speaks, by the levels of audio (RFC 6464): the dominant speaker, the last ones to be that, the loudest ones.
//!
//! A level is a number of decibels above silence, 0 to 127. It rises quickly and falls slowly, so that a pause between words is
//! none; who is dominant stays so until somebody is louder by [`MARGIN`] for [`CHALLENGE`].

use core::time::Duration;

use raceway_rtp::level::AudioLevel;
use raceway_units::Instant;

use crate::limits::SPEAKERS_MAX;

/// Levels are looked at that often.
pub const TICK: Duration = Duration::from_millis(100);
/// Ticks for which somebody has to be louder than the dominant speaker, to be that.
pub const CHALLENGE: u8 = 3;
/// By how many decibels.
pub const MARGIN: i32 = 6;
/// What is no louder than this many decibels above silence is nobody's speech: -65 dBov.
pub const LEAST: i32 = 62;
/// Parts of a decibel.
const SCALE: i32 = 16;
/// What part of the way a level goes with a packet: up, down.
const ATTACK: i32 = 3;
const RELEASE: i32 = 24;
/// Of that many decibels a level falls in a tick in which nothing came (as in DTX).
const SILENCE: i32 = 8;

/// A participant, as [`Speakers::insert`] named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Speaker(pub u16);

#[derive(Clone, Copy, Debug)]
struct Participant {
    level: i32,
    heard: bool,
    /// Among the loudest at present: stays so more easily than another becomes it.
    loud: bool,
    challenges: u8,
}

/// What a tick has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Somebody else is dominant, and so the order of the last ones is another.
    pub dominant: bool,
    /// Others are among the loudest.
    pub loudest: bool,
}

/// Who speaks in a room.
#[derive(Clone, Debug)]
pub struct Speakers {
    participants: Vec<Option<Participant>>,
    /// Who was dominant, the last one first; then who never was.
    order: Vec<Speaker>,
    loudest: usize,
    dominant: Option<Speaker>,
    ticked: Option<Instant>,
}

impl Speakers {
    /// Nobody yet; so many are to be among the loudest.
    #[must_use]
    pub const fn new(loudest: usize) -> Self {
        Self { participants: Vec::new(), order: Vec::new(), loudest, dominant: None, ticked: None }
    }

    /// One more. Nothing if there are [`SPEAKERS_MAX`].
    pub fn insert(&mut self) -> Option<Speaker> {
        let free = self.participants.iter().position(Option::is_none);
        let at = free.unwrap_or(self.participants.len());
        if at >= SPEAKERS_MAX {
            return None;
        }
        self.participants.resize(self.participants.len().max(at + 1), None);
        self.participants[at] = Some(Participant { level: 0, heard: false, loud: false, challenges: 0 });
        let speaker = Speaker(at as u16);
        self.order.push(speaker);
        Some(speaker)
    }

    /// One less. Whether it was dominant.
    pub fn remove(&mut self, speaker: Speaker) -> bool {
        if let Some(place) = self.participants.get_mut(usize::from(speaker.0)) {
            *place = None;
        }
        self.order.retain(|other| *other != speaker);
        let was = self.dominant == Some(speaker);
        self.dominant = self.dominant.filter(|dominant| *dominant != speaker);
        was
    }

    /// A packet of a participant.
    #[inline]
    pub fn handle_level(&mut self, speaker: Speaker, level: AudioLevel) {
        let Some(Some(participant)) = self.participants.get_mut(usize::from(speaker.0)) else { return };
        let target = (127 - i32::from(level.below_loudest)) * SCALE;
        let way = target - participant.level;
        participant.level += if way > 0 { (way + ATTACK - 1) / ATTACK } else { way / RELEASE };
        participant.heard = true;
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ticked.map(|at| at.after(TICK))
    }

    /// Looks who is dominant and who is loudest now. Does nothing before it is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Changed {
        if self.poll_timeout().is_some_and(|due| now < due) {
            return Changed::default();
        }
        self.ticked = Some(now);
        for participant in self.participants.iter_mut().flatten() {
            if !participant.heard {
                participant.level = (participant.level - SILENCE * SCALE).max(0);
            }
            participant.heard = false;
        }
        Changed { dominant: self.challenge(), loudest: self.choose_loudest() }
    }

    fn level(&self, speaker: Speaker) -> i32 {
        let participant = self.participants.get(usize::from(speaker.0)).copied().flatten();
        participant.map_or(0, |participant| participant.level)
    }

    /// Whether somebody else is dominant now.
    fn challenge(&mut self) -> bool {
        let present = self.dominant.map_or(0, |dominant| self.level(dominant));
        let needed = if present < LEAST * SCALE { LEAST * SCALE } else { present + MARGIN * SCALE };
        let mut best: Option<(i32, Speaker)> = None;
        for (at, participant) in self.participants.iter_mut().enumerate() {
            let Some(participant) = participant else { continue };
            let speaker = Speaker(at as u16);
            let louder = participant.level >= needed && self.dominant != Some(speaker);
            participant.challenges = if louder { participant.challenges.saturating_add(1) } else { 0 };
            let ready = participant.challenges >= CHALLENGE || louder && self.dominant.is_none();
            if ready && best.is_none_or(|(level, _)| participant.level > level) {
                best = Some((participant.level, speaker));
            }
        }
        let Some((_, speaker)) = best else { return false };
        self.dominant = Some(speaker);
        self.order.retain(|other| *other != speaker);
        self.order.insert(0, speaker);
        true
    }

    /// Whether others are among the loudest now.
    fn choose_loudest(&mut self) -> bool {
        let score = |participant: &Participant| participant.level + if participant.loud { MARGIN * SCALE } else { 0 };
        let mut changed = false;
        // A participant is among them if fewer than that many are louder; of equal ones the first.
        let all: Vec<_> = self.participants.iter().map(|place| place.as_ref().map(score)).collect();
        for (at, place) in self.participants.iter_mut().enumerate() {
            let Some(participant) = place else { continue };
            let own = score(participant);
            let louder = all
                .iter()
                .enumerate()
                .filter(|(other, theirs)| theirs.is_some_and(|theirs| theirs > own || theirs == own && *other < at));
            let loud = participant.level >= LEAST * SCALE && louder.take(self.loudest).count() < self.loudest;
            changed |= loud != participant.loud;
            participant.loud = loud;
        }
        changed
    }

    /// Who is dominant. Nobody, until somebody has spoken.
    #[must_use]
    pub const fn dominant(&self) -> Option<Speaker> {
        self.dominant
    }

    /// The last ones to be dominant, the last one first; then those who never were, in the order in which they came.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Speaker> {
        self.order.iter().copied().take(count)
    }

    /// Whether a participant is among the loudest.
    #[inline]
    #[must_use]
    pub fn is_loud(&self, speaker: Speaker) -> bool {
        self.participants.get(usize::from(speaker.0)).copied().flatten().is_some_and(|participant| participant.loud)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room in which each speaks so loud (decibels above silence; 0 sends nothing) for so long.
    struct Room {
        speakers: Speakers,
        all: Vec<Speaker>,
        now_ms: u64,
    }

    impl Room {
        fn new(participants: usize, loudest: usize) -> Self {
            let mut speakers = Speakers::new(loudest);
            let all = (0..participants).map(|_| speakers.insert().expect("room")).collect();
            Self { speakers, all, now_ms: 0 }
        }

        fn speak(&mut self, ms: u64, levels: &[u8]) -> (usize, usize) {
            let (mut dominant, mut loudest) = (0, 0);
            for _ in 0..ms / 20 {
                for (speaker, level) in self.all.iter().zip(levels).filter(|(_, level)| **level > 0) {
                    self.speakers.handle_level(*speaker, AudioLevel { voice: true, below_loudest: 127 - level });
                }
                self.now_ms += 20;
                let changed = self.speakers.handle_timeout(Instant::from_ns(self.now_ms * 1_000_000));
                dominant += usize::from(changed.dominant);
                loudest += usize::from(changed.loudest);
            }
            (dominant, loudest)
        }

        fn last(&self, count: usize) -> Vec<u16> {
            self.speakers.last(count).map(|speaker| speaker.0).collect()
        }
    }

    #[test]
    fn who_speaks_is_dominant_and_a_noise_is_nobody() {
        let mut room = Room::new(3, 2);
        room.speak(1_000, &[30, 40, 20]);
        assert_eq!(room.speakers.dominant(), None);
        room.speak(400, &[30, 100, 20]);
        assert_eq!(room.speakers.dominant(), Some(room.all[1]));
    }

    #[test]
    fn a_cough_does_not_take_over_and_a_speech_does() {
        let mut room = Room::new(2, 2);
        room.speak(2_000, &[95, 30]);
        assert_eq!(room.speak(200, &[95, 115]).0, 0);
        room.speak(1_000, &[95, 30]);
        assert_eq!(room.speakers.dominant(), Some(room.all[0]));
        assert_eq!(room.speak(1_000, &[30, 100]).0, 1);
        assert_eq!(room.speakers.dominant(), Some(room.all[1]));
    }

    #[test]
    fn two_who_are_as_loud_do_not_alternate() {
        let mut room = Room::new(2, 2);
        room.speak(1_000, &[95, 0]);
        let changes: usize =
            (0..20).map(|turn| room.speak(200, if turn % 2 == 0 { &[92, 97] } else { &[97, 92] }).0).sum();
        assert_eq!((changes, room.speakers.dominant()), (0, Some(room.all[0])));
    }

    #[test]
    fn who_says_nothing_any_more_is_overcome_by_a_low_voice() {
        let mut room = Room::new(2, 2);
        room.speak(1_000, &[110, 0]);
        room.speak(3_000, &[0, 75]);
        assert_eq!(room.speakers.dominant(), Some(room.all[1]));
    }

    #[test]
    fn the_last_speakers_come_first() {
        let mut room = Room::new(4, 4);
        assert_eq!(room.last(4), [0, 1, 2, 3]);
        room.speak(2_000, &[30, 30, 100, 30]);
        room.speak(4_000, &[30, 30, 30, 100]);
        assert_eq!(room.last(3), [3, 2, 0]);
        assert!(room.speakers.remove(room.all[3]) && !room.speakers.remove(room.all[3]));
        assert_eq!((room.last(4), room.speakers.dominant()), (vec![2, 0, 1], None));
        assert_eq!(room.speakers.insert(), Some(Speaker(3)), "a place that is free");
    }

    #[test]
    fn the_loudest_are_so_many_and_change_seldom() {
        let mut room = Room::new(5, 2);
        room.speak(1_000, &[100, 90, 80, 70, 0]);
        let loud = |room: &Room| room.all.iter().map(|speaker| room.speakers.is_loud(*speaker)).collect::<Vec<_>>();
        assert_eq!(loud(&room), [true, true, false, false, false]);
        assert_eq!(room.speak(1_000, &[100, 90, 93, 70, 0]).1, 0, "not by that little");
        assert_eq!(room.speak(2_000, &[100, 90, 100, 70, 0]).1, 1);
        assert_eq!(loud(&room), [true, false, true, false, false]);
        room.speak(5_000, &[0; 5]);
        assert_eq!(loud(&room), [false; 5], "nobody speaks");
    }

    #[test]
    fn no_more_are_followed_than_there_is_room_for() {
        let mut speakers = Speakers::new(3);
        assert_eq!((0..SPEAKERS_MAX + 5).filter(|_| speakers.insert().is_some()).count(), SPEAKERS_MAX);
    }
}
