//! Bit rates of the layers of a stream, for whoever shares bandwidth among subscribers.

use core::time::Duration;

use raceway_units::Instant;

/// Layers of each kind that are told apart; higher ones count as the highest.
const LAYERS: usize = 4;
/// Rates are those of the last whole interval of this length.
const INTERVAL: Duration = Duration::from_millis(1_000);

/// Octets by spatial and temporal layer.
type Octets = [[u32; LAYERS]; LAYERS];

/// Bit rates of layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    begun: Option<Instant>,
    octets: Octets,
    last: Octets,
}

impl Rates {
    /// So many octets of a layer have come.
    #[inline]
    pub(crate) fn add(&mut self, now: Instant, spatial: u8, temporal: u8, octets: usize) {
        self.turn(now);
        let layer = |layer: u8| usize::from(layer).min(LAYERS - 1);
        let place = &mut self.octets[layer(spatial)][layer(temporal)];
        *place = place.saturating_add(octets as u32);
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.since(*self.begun.get_or_insert(now));
        if passed >= INTERVAL {
            self.last = if passed < 2 * INTERVAL { self.octets } else { Octets::default() };
            (self.begun, self.octets) = (Some(now), Octets::default());
        }
    }

    /// Bits a second of all layers up to these.
    pub(crate) fn rate(&mut self, now: Instant, spatial: u8, temporal: u8) -> u64 {
        self.turn(now);
        let rows = self.last.iter().take(usize::from(spatial) + 1);
        let octets = rows.flat_map(|row| row.iter().take(usize::from(temporal) + 1));
        octets.map(|octets| u64::from(*octets) * 8_000 / INTERVAL.as_millis() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_the_layers_below() {
        let at = |ms: u64| Instant::from_ns(ms * 1_000_000);
        let mut rates = Rates::default();
        for ms in (0..1_000).step_by(100) {
            rates.add(at(ms), 0, 0, 100);
            rates.add(at(ms), 0, 1, 50);
            rates.add(at(ms), 9, 0, 1_000);
        }
        assert_eq!(rates.rate(at(1_000), 0, 0), 8_000);
        assert_eq!(rates.rate(at(1_100), 0, 3), 12_000);
        assert_eq!(rates.rate(at(1_100), 255, 255), 92_000);
        assert_eq!(rates.rate(at(2_000), 0, 0), 0, "nothing came since");
    }
}
