//! What XDP does with a party's RTP by its payload type: what its leg would do.

use raceway_api::{Codec, Format, PayloadFate, PayloadRule, PayloadRules};

use crate::call::Stream;

/// What is switched on for a party's packets, as a flow does it; `opaque` if nobody opens them. None: it has to be looked
/// into, or is more than fits.
pub(crate) fn rules(stream: &Stream, opaque: bool) -> Option<PayloadRules> {
    let rules = &stream.rules;
    let named = |format: &Format, fate| {
        let payload_type = format.payload_type;
        PayloadRule { payload_type, renamed: payload_type, fate }
    };
    match (rules.detect_dtmf, rules.block, rules.silence) {
        (true, ..) if has_events(stream) => None,
        (_, true, _) => PayloadRules::naming(true, []),
        (_, false, true) if opaque => PayloadRules::naming(true, []),
        // The leg makes silence.
        (_, false, true) => None,
        (_, false, false) => {
            let events = stream.formats.iter().filter(|format| format.codec == Codec::TelephoneEvent);
            let blocked = events.map(|format| named(format, PayloadFate::Block)).filter(|_| rules.block_dtmf);
            PayloadRules::naming(false, blocked)
        }
    }
}

/// Whether a party may send telephone events (RFC 4733).
pub(crate) fn has_events(stream: &Stream) -> bool {
    stream.formats.iter().any(|format| format.codec == Codec::TelephoneEvent)
}
