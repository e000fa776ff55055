//! Telephone events: which key was pressed, how long, how loud (RFC 4733 section 2).

use raceway_api::Dtmf;
use raceway_units::Instant;

use crate::limits::DTMF_SILENCE;

/// Finds the key presses in the telephone events of one leg. Every press is told once: when it ends, or when nothing more
/// comes of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keypad {
    pressed: Option<Press>,
    /// Source and timestamp of the last press that ended: its end comes three times.
    ended: Option<(u32, u32)>,
}

/// A key that is down.
#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: u32,
    timestamp: u32,
    event: u8,
    volume: u8,
    payload_type: u8,
    clock_hz: u32,
    /// Timestamp units of segments before this one (section 2.5.1.3), and of this one.
    before: u32,
    duration: u16,
    heard_at: Instant,
}

/// A packet of telephone events, without its payload.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// RTP source.
    pub ssrc: u32,
    /// RTP timestamp: when the key went down.
    pub timestamp: u32,
    /// Marker: the first packet of a press.
    pub marker: bool,
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP clock rate in Hz.
    pub clock_hz: u32,
}

/// In the second octet of a payload: the event has ended; its volume.
const END: u8 = 0x80;
const VOLUME: u8 = 0x3f;

impl Keypad {
    /// Takes a packet of telephone events; what it tells.
    pub fn hear(&mut self, now: Instant, packet: Event, payload: &[u8]) -> Option<Dtmf> {
        let &[event, flags, high, low] = payload.first_chunk()?;
        if self.ended == Some((packet.ssrc, packet.timestamp)) {
            return None;
        }
        let duration = u16::from_be_bytes([high, low]);
        let (volume, ends) = (flags & VOLUME, flags & END != 0);
        let mut told = None;
        let press = match self.pressed {
            Some(press) if press.goes_on(&packet, event) => press.with(now, &packet, volume, duration),
            Some(press) if press.is_late(&packet) => return None,
            other => {
                told = other.map(Press::told);
                let Event { ssrc, timestamp, payload_type, clock_hz, .. } = packet;
                Press { ssrc, timestamp, event, volume, payload_type, clock_hz, before: 0, duration, heard_at: now }
            }
        };
        self.pressed = (!ends).then_some(press);
        if ends {
            self.ended = Some((packet.ssrc, packet.timestamp));
            // The press before lost its end, and this one is short: the one before is told with the packet after.
            if told.is_some() {
                self.pressed = Some(press);
                self.ended = None;
                return told;
            }
            return Some(press.told());
        }
        told
    }

    /// The key that must be up by now: nothing has come of it for [`DTMF_SILENCE`].
    #[inline]
    pub fn released(&mut self, now: Instant) -> Option<Dtmf> {
        let press = self.pressed.filter(|press| now.since(press.heard_at) >= DTMF_SILENCE)?;
        self.pressed = None;
        self.ended = Some((press.ssrc, press.timestamp));
        Some(press.told())
    }
}

impl Press {
    /// Whether a packet is of this press: of this segment of it, or of the next one, which begins where this one ends.
    fn goes_on(&self, packet: &Event, event: u8) -> bool {
        let next = self.timestamp.wrapping_add(self.duration.into());
        self.event == event
            && self.ssrc == packet.ssrc
            && (packet.timestamp == self.timestamp || !packet.marker && packet.timestamp == next)
    }

    /// Whether a packet is of an earlier segment or press.
    fn is_late(&self, packet: &Event) -> bool {
        self.ssrc == packet.ssrc && (packet.timestamp.wrapping_sub(self.timestamp) as i32) < 0
    }

    fn with(self, now: Instant, packet: &Event, volume: u8, duration: u16) -> Self {
        if packet.timestamp == self.timestamp {
            return Self { volume, duration: self.duration.max(duration), heard_at: now, ..self };
        }
        let before = self.before.saturating_add(self.duration.into());
        Self { timestamp: packet.timestamp, before, volume, duration, heard_at: now, ..self }
    }

    fn told(self) -> Dtmf {
        let units = u64::from(self.before) + u64::from(self.duration);
        let ms = units * 1000 / u64::from(self.clock_hz.max(1));
        Dtmf {
            event: self.event,
            volume: self.volume,
            duration_ms: u32::try_from(ms).unwrap_or(u32::MAX),
            payload_type: self.payload_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const START: Instant = Instant::from_ns(1_000_000_000);

    fn packet(timestamp: u32, marker: bool) -> Event {
        Event { ssrc: 7, timestamp, marker, payload_type: 101, clock_hz: 8000 }
    }

    fn payload(event: u8, duration: u16, ends: bool) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, if ends { END } else { 0 } | 10, high, low]
    }

    /// What a keypad tells of these: timestamp, marker, event, duration, end; 20 ms apart.
    fn told(packets: &[(u32, bool, u8, u16, bool)]) -> Vec<(u8, u32)> {
        let mut keypad = Keypad::default();
        let mut told = Vec::new();
        for (number, (timestamp, marker, event, duration, ends)) in packets.iter().enumerate() {
            let now = START.after(Duration::from_millis(20 * number as u64));
            told.extend(keypad.hear(now, packet(*timestamp, *marker), &payload(*event, *duration, *ends)));
        }
        let late = START.after(Duration::from_secs(10));
        told.extend(keypad.released(late));
        assert_eq!(keypad.released(late), None);
        told.iter().map(|dtmf| (dtmf.event, dtmf.duration_ms)).collect()
    }

    #[test]
    fn a_press_is_told_once_with_its_duration_and_volume() {
        let mut keypad = Keypad::default();
        assert_eq!(keypad.hear(START, packet(5, true), &payload(11, 160, false)), None);
        assert_eq!(keypad.hear(START, packet(5, false), &payload(11, 320, false)), None);
        let told = Dtmf { event: 11, volume: 10, duration_ms: 60, payload_type: 101 };
        assert_eq!(keypad.hear(START, packet(5, false), &payload(11, 480, true)), Some(told));
        for _ in 0..2 {
            assert_eq!(
                keypad.hear(START, packet(5, false), &payload(11, 480, true)),
                None,
                "the end comes three times"
            );
        }
    }

    #[test]
    fn one_packet_of_a_press_is_enough() {
        assert_eq!(told(&[(5, true, 1, 160, false)]), [(1, 20)]);
        assert_eq!(told(&[(5, false, 1, 800, true)]), [(1, 100)]);
    }

    #[test]
    fn the_same_key_pressed_twice_is_two_presses() {
        let twice = [
            (5, true, 1, 160, false),
            (5, false, 1, 320, true),
            (900, true, 1, 160, false),
            (900, false, 1, 160, true),
        ];
        assert_eq!(told(&twice), [(1, 40), (1, 20)]);
    }

    #[test]
    fn a_press_whose_end_is_lost_is_told_with_the_next_one_or_after_a_while() {
        assert_eq!(told(&[(5, true, 1, 160, false), (900, true, 2, 160, false)]), [(1, 20), (2, 20)]);
        assert_eq!(
            told(&[(5, true, 1, 160, false), (900, true, 2, 160, true), (900, false, 2, 160, true)]),
            [(1, 20), (2, 20)]
        );
    }

    #[test]
    fn a_long_press_goes_on_in_segments() {
        let long = [(5, true, 1, 65_535, false), (65_540, false, 1, 800, false), (65_540, false, 1, 1600, true)];
        assert_eq!(told(&long), [(1, 8391)]);
    }

    #[test]
    fn packets_in_another_order_tell_the_same() {
        let mixed =
            [(5, false, 1, 320, false), (5, true, 1, 160, false), (5, false, 1, 480, true), (5, false, 1, 400, false)];
        assert_eq!(told(&mixed), [(1, 60)]);
    }

    #[test]
    fn what_comes_late_of_a_press_that_was_told_tells_nothing() {
        let late = [
            (5, true, 1, 160, false),
            (900, true, 2, 160, false),
            (5, false, 1, 320, true),
            (900, false, 2, 320, true),
        ];
        assert_eq!(told(&late), [(1, 20), (2, 40)]);
    }

    #[test]
    fn what_is_too_short_for_an_event_tells_nothing() {
        assert_eq!(Keypad::default().hear(START, packet(5, true), &[1, 2, 3]), None);
    }
}
