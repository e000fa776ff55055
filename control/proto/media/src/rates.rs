//! How much may arrive at a media address, by what SDP says of it.
//!
//! A limit is there for floods, not for parties: it is far above what a party sends that keeps to what was agreed on. What
//! is over it is dropped before any work on it, so that whoever floods one address takes nothing from others.

use raceway_api::{Codec, Format};
use raceway_sdp::Kind;

use crate::call::Stream;
use crate::limits::rates;

/// Bits per second that may arrive where RTP of a stream does, RTCP and all that is multiplexed included.
pub(crate) fn rtp(stream: &Stream) -> u64 {
    of(stream.kind, &stream.formats, stream.bandwidth)
}

fn of(kind: Kind, formats: &[Format], bandwidth: Option<u64>) -> u64 {
    let said = bandwidth.map(|bits| bits.min(rates::SAID_MOST) * rates::ABOVE_SAID);
    match kind {
        Kind::Video => said.map_or(rates::VIDEO, |said| said.max(rates::VIDEO_LEAST)),
        _ => audio(formats).max(said.unwrap_or(0)),
    }
}

/// By the format that takes most. Who has not said yet what it may send may send anything.
fn audio(formats: &[Format]) -> u64 {
    let of = |format: &Format| match format.codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::G729 | Codec::TelephoneEvent | Codec::ComfortNoise => {
            rates::NARROWBAND
        }
        Codec::Opus => rates::OPUS,
        Codec::Other => rates::OTHER,
    };
    formats.iter().map(of).max().unwrap_or(rates::OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(codec: Codec) -> Format {
        Format { payload_type: 0, codec, clock_hz: 8000 }
    }

    #[test]
    fn the_format_that_takes_most_decides() {
        let (pcmu, opus, other) = (format(Codec::Pcmu), format(Codec::Opus), format(Codec::Other));
        assert_eq!(audio(&[pcmu]), rates::NARROWBAND);
        assert_eq!(audio(&[pcmu, opus]), rates::OPUS);
        assert_eq!(audio(&[other, opus, pcmu]), rates::OTHER);
        assert_eq!(audio(&[]), rates::OTHER);
    }

    #[test]
    fn a_bandwidth_beyond_belief_is_no_way_around_the_limit() {
        let most = rates::SAID_MOST * rates::ABOVE_SAID;
        for kind in [Kind::Audio, Kind::Video] {
            assert_eq!(of(kind, &[format(Codec::Opus)], Some(u64::MAX)), most, "{kind:?}");
            assert!(of(kind, &[format(Codec::Opus)], Some(0)) >= rates::OPUS, "{kind:?}");
        }
    }
}
