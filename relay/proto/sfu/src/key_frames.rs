//! Requests for key frames: many subscribers ask, the publisher is asked once.

use raceway_units::Instant;

use crate::limits::KEY_FRAME_INTERVAL;

/// Requests for key frames of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyFrames {
    wanted: bool,
    sent: Option<Instant>,
    requests: u64,
    asked: u64,
}

impl KeyFrames {
    /// Somebody needs one.
    pub(crate) const fn request(&mut self) {
        self.wanted = true;
        self.requests += 1;
    }

    /// One has begun: it answers all who asked before.
    pub(crate) const fn came(&mut self) {
        self.wanted = false;
    }

    /// When the publisher is to be asked, if it is.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.wanted.then(|| self.sent.map_or(Instant::default(), |sent| sent.after(KEY_FRAME_INTERVAL)))
    }

    /// Whether the publisher is to be asked now; it is then.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self.timeout().is_some_and(|at| at <= now);
        if due {
            (self.wanted, self.sent) = (false, Some(now));
            self.asked += 1;
        }
        due
    }

    /// How often somebody needed one, and how often the publisher was asked.
    pub(crate) const fn counts(&self) -> (u64, u64) {
        (self.requests, self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_ns(ms * 1_000_000)
    }

    #[test]
    fn many_requests_are_one() {
        let mut frames = KeyFrames::default();
        assert!(!frames.poll(at(0)));
        (0..100).for_each(|_| frames.request());
        assert!(frames.poll(at(1)) && !frames.poll(at(1)));
        let asked = (1..1_001).filter(|ms| {
            frames.request();
            frames.poll(at(*ms))
        });
        assert_eq!(asked.count() as u128, 1_000 / KEY_FRAME_INTERVAL.as_millis() - 1);
        assert_eq!(frames.counts().0, 1_100);
    }

    #[test]
    fn a_key_frame_answers_who_asked_before_it() {
        let mut frames = KeyFrames::default();
        frames.request();
        assert!(frames.poll(at(0)));
        frames.request();
        frames.came();
        assert!(!frames.poll(at(5_000)));
        frames.request();
        assert!(frames.poll(at(5_000)));
    }
}
