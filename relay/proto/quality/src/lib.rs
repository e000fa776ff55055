//! What a listener would make of a stream: the E-model of ITU-T G.107 (narrowband) and G.107.1 (wideband).
//!
//! What the network does enters as delay and loss; all else has the default values of the Recommendations, and echo is
//! taken as cancelled. The result is for planning and comparison: nobody has listened. Scores of the two models are on
//! different scales and are not compared with each other. docs/rfc/e-model.md has what is implemented, assumed, left out.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// `Ro - Is` with every parameter at its default (G.107 section 7.7).
const NARROW_BEST: f64 = 93.2;
/// The same of the wideband model (G.107.1 sections 7.2 and 7.3).
const WIDE_BEST: f64 = 129.0;
/// What a wideband rating is divided by before it is made a score (G.107.1 annex A).
const WIDE_SCALE: f64 = 1.29;
/// The impairment that loss tends to (G.107 equation 7-29; the same in G.107.1 equation 7-15).
const LOSS_MAX: f64 = 95.0;
/// Absolute delay below this does not disturb (G.107 section 7.4, `mT` of the default delay sensitivity).
const UNDISTURBED_MS: f64 = 100.0;

/// A codec as the E-model knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// G.711, either law, with the concealment of its appendix I.
    G711,
    /// G.722 at 64 kbit/s.
    G722,
    /// Opus for speech at 24 kbit/s or more.
    Opus,
}

/// Width of the speech band, and with it the model and scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// 300 to 3400 Hz, G.107.
    Narrow,
    /// 50 to 7000 Hz, G.107.1.
    Wide,
}

/// What the model takes of a codec.
struct Impairment {
    band: Band,
    /// Equipment impairment factor, `Ie` or `Ie,WB`.
    equipment: f64,
    /// Robustness to packet loss, `Bpl` or `Bpl,WB`.
    robustness: f64,
    /// One packet of 20 ms and what the coder looks ahead.
    delay_ms: f64,
}

impl Codec {
    /// The codec of an encoding name, as `a=rtpmap` has it. None for what is not speech.
    #[must_use]
    pub fn of_encoding(name: &str) -> Option<Self> {
        let names = [("PCMU", Self::G711), ("PCMA", Self::G711), ("G722", Self::G722), ("opus", Self::Opus)];
        names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, codec)| codec)
    }

    /// Where the values are from:
    ///
    /// - G.711: G.113 (2007) appendix I, with packet loss concealment.
    /// - G.722: `Ie,WB` from G.113 appendix IV. For loss an assumption: `Bpl,WB` of G.722.2 at 12.65 kbit/s, which has the
    ///   same `Ie,WB`.
    /// - Opus: an assumption, since ITU-T publishes no values: those of G.722.2 at 23.05 kbit/s (G.113 tables IV.3 and
    ///   IV.4), below which Opus at such rates should not fall.
    const fn impairment(self) -> Impairment {
        match self {
            Self::G711 => Impairment { band: Band::Narrow, equipment: 0.0, robustness: 25.1, delay_ms: 20.0 },
            Self::G722 => Impairment { band: Band::Wide, equipment: 13.0, robustness: 4.3, delay_ms: 21.5 },
            Self::Opus => Impairment { band: Band::Wide, equipment: 8.0, robustness: 4.6, delay_ms: 26.5 },
        }
    }

    /// Width of its speech band.
    #[must_use]
    pub const fn band(self) -> Band {
        self.impairment().band
    }
}

/// What became of a stream on its way to the ear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// Mean delay of the network and the playout buffer, one way.
    pub delay: Duration,
    /// Share of packets that could not be played, 0 to 1.
    pub loss: f64,
    /// How much longer runs of losses are than by chance, 1 or more. The wideband model leaves it out.
    pub burst_ratio: f64,
}

/// What the model says of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// Model and scale.
    pub band: Band,
    /// Transmission rating: up to 93.2 in narrowband, 129 in wideband.
    pub r: f64,
    /// Mean opinion score of a conversation, 1 to 4.5 (MOS-CQE).
    pub mos: f64,
}

/// Rates a codec over a path.
#[must_use]
pub fn rate(codec: Codec, path: Path) -> Rating {
    let Impairment { band, equipment, robustness, delay_ms } = codec.impairment();
    let delay = delay_impairment(path.delay.as_secs_f64() * 1e3 + delay_ms);
    let percent = path.loss.clamp(0.0, 1.0) * 100.0;
    match band {
        Band::Narrow => {
            let loss = loss_impairment(equipment, robustness, percent, path.burst_ratio.max(1.0));
            let r = NARROW_BEST - delay - loss;
            Rating { band, r, mos: score(r) }
        }
        Band::Wide => {
            let loss = loss_impairment(equipment, robustness, percent, 1.0);
            let r = WIDE_BEST - delay - loss;
            Rating { band, r, mos: score(r / WIDE_SCALE) }
        }
    }
}

/// `Ie,eff` (G.107 equation 7-29, G.107.1 equation 7-15).
fn loss_impairment(equipment: f64, robustness: f64, percent: f64, burst_ratio: f64) -> f64 {
    equipment + (LOSS_MAX - equipment) * percent / (percent / burst_ratio + robustness)
}

/// `Idd`, what absolute delay takes away even without echo (G.107 equations 7-27 and 7-28, `sT` = 1).
fn delay_impairment(ms: f64) -> f64 {
    if ms <= UNDISTURBED_MS {
        return 0.0;
    }
    let x = (ms / UNDISTURBED_MS).log2();
    let root = |value: f64| (1.0 + value.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// The score of a rating on the narrowband scale (G.107 annex B).
///
/// Below 6.5 the cubic falls under 1 and rises again to 1 at zero: such ratings score 1.
fn score(r: f64) -> f64 {
    let r = r.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(delay_ms: u64, loss: f64, burst_ratio: f64) -> Path {
        Path { delay: Duration::from_millis(delay_ms), loss, burst_ratio }
    }

    fn close(value: f64, expected: f64, within: f64) {
        assert!((value - expected).abs() <= within, "{value} is not {expected}");
    }

    /// G.107 table B.1, which has the scores to two places, that of 80 rounded up.
    #[test]
    fn g107_annex_b_scores() {
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            close(score(r), mos, 0.0061);
        }
        assert_eq!((score(-3.0), score(0.0), score(3.0), score(100.0), score(120.0)), (1.0, 1.0, 1.0, 4.5, 4.5));
    }

    /// G.107 section 7.7: with the default values R is 93.2, which annex B makes 4.41.
    #[test]
    fn g107_default_values() {
        let rating = rate(Codec::G711, path(0, 0.0, 1.0));
        assert_eq!((rating.band, rating.r), (Band::Narrow, 93.2));
        close(rating.mos, 4.41, 0.005);
    }

    /// G.107.1: the best rating is 129, and annex A makes it the best score; G.113 table IV.1 has 13 for G.722 at
    /// 64 kbit/s, as for G.722.2 at 12.65 kbit/s.
    #[test]
    fn g107_1_default_values() {
        let rating = rate(Codec::G722, path(0, 0.0, 1.0));
        assert_eq!((rating.band, rating.r), (Band::Wide, 116.0));
        close(rating.mos, 4.337, 0.001);
        assert_eq!(score(WIDE_BEST / WIDE_SCALE), 4.5);
    }

    /// G.107 equations 7-27 and 7-28 by hand: X is 1 at 200 ms, 2 at 400 ms.
    #[test]
    fn g107_delay_impairment() {
        assert_eq!((delay_impairment(0.0), delay_impairment(100.0)), (0.0, 0.0));
        close(delay_impairment(200.0), 3.045, 0.005);
        close(delay_impairment(400.0), 24.07, 0.01);
    }

    /// G.107 equation 7-29 by hand, with G.113's values of G.711: 1 % of random loss costs 95 / 26.1.
    #[test]
    fn g107_loss_impairment() {
        close(rate(Codec::G711, path(0, 0.01, 1.0)).r, 93.2 - 3.640, 0.001);
        close(rate(Codec::G711, path(0, 0.05, 2.0)).r, 93.2 - 95.0 * 5.0 / 27.6, 0.001);
    }

    #[test]
    fn encodings_are_known_by_name_in_any_case() {
        assert_eq!(Codec::of_encoding("pcma"), Some(Codec::G711));
        assert_eq!(Codec::of_encoding("OPUS"), Some(Codec::Opus));
        assert_eq!(Codec::of_encoding("VP8"), None);
    }

    #[test]
    fn bursts_count_in_narrowband_alone() {
        let mos = |codec, burst| rate(codec, path(20, 0.05, burst)).mos;
        assert!(mos(Codec::G711, 3.0) < mos(Codec::G711, 1.0));
        assert_eq!(mos(Codec::G722, 3.0), mos(Codec::G722, 1.0));
    }

    proptest! {
        #[test]
        fn more_loss_or_delay_is_never_better(
            delay_ms in 0..2000u64, more_ms in 0..500u64, loss in 0.0..1.0f64, more in 0.0..0.5f64, burst in 0.0..8.0f64,
        ) {
            for codec in [Codec::G711, Codec::G722, Codec::Opus] {
                let mos = |path| rate(codec, path).mos;
                let here = mos(path(delay_ms, loss, burst));
                prop_assert!((1.0..=4.5).contains(&here));
                prop_assert!(mos(path(delay_ms + more_ms, loss, burst)) <= here);
                prop_assert!(mos(path(delay_ms, loss + more, burst)) <= here);
            }
        }
    }
}
