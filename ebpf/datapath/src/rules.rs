//! What a flow does with RTP by its payload type (RFC 3551): it is called otherwise, or dropped.

use raceway_abi::{Flow, PayloadFate, PayloadRule};

use crate::measure::RTP_OCTETS;

/// What becomes of application data that follows a flow of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It passes, with this as its first four octets, read in little-endian order.
    Pass(u32),
    /// It is dropped.
    Block,
    /// The leg behind the local address knows what to do.
    Leg,
}

/// What the rules of a flow make of application data of so many octets that is RTP or RTCP, of which `first` are the first
/// four, read in little-endian order.
#[inline(always)]
#[must_use]
pub fn ruling(flow: &Flow, first: u32, octets: usize) -> Ruling {
    let payload_type = (first >> 8) as u8 & 0x7f;
    // RFC 5761 section 4. Without rules, nobody looks.
    if !flow.is_ruled() || (64..=95).contains(&payload_type) {
        return Ruling::Pass(first);
    }
    if octets < RTP_OCTETS {
        return Ruling::Leg;
    }
    let Some(rule) = rule(flow.payload_rule_words(), payload_type) else {
        return if flow.blocks_others() { Ruling::Block } else { Ruling::Pass(first) };
    };
    let renamed = first & !0x7f00 | u32::from(rule.renamed()) << 8;
    match rule.fate() {
        PayloadFate::Pass => Ruling::Pass(renamed),
        PayloadFate::Block => Ruling::Block,
    }
}

/// The rule for a payload type. Without a branch for each place: the verifier would walk every way through them.
#[inline(always)]
fn rule(words: [u64; 2], payload_type: u8) -> Option<PayloadRule> {
    let mut found = u64::from(PayloadRule::UNUSED.bits());
    for word in words {
        let mut rest = word;
        for _ in 0..4 {
            let difference = (rest ^ u64::from(payload_type)) & 0x7f;
            let is_it = 0u64.wrapping_sub(difference.wrapping_sub(1) >> 63);
            found ^= (found ^ rest & 0xffff) & is_it;
            rest >>= 16;
        }
    }
    let rule = PayloadRule::from_bits(found as u16);
    (found != u64::from(PayloadRule::UNUSED.bits())).then_some(rule)
}

#[cfg(test)]
mod tests {
    use raceway_abi::{FLAG_BLOCKS_OTHERS, FLAG_MEDIA_ONLY, FLAG_RULED, FlowSpec};

    use super::*;

    fn flow(flags: u8, rules: &[PayloadRule]) -> Flow {
        let mut spec = FlowSpec { flags: FLAG_MEDIA_ONLY | FLAG_RULED | flags, ..FlowSpec::default() };
        spec.payload_rules[..rules.len()].copy_from_slice(rules);
        let flow = Flow::default();
        flow.publish(&spec, u64::MAX);
        flow
    }

    fn first(octet: u8, second: u8) -> u32 {
        u32::from_le_bytes([octet, second, 1, 2])
    }

    #[test]
    fn each_payload_type_has_its_own_rule_and_its_marker_stays() {
        let rules: [PayloadRule; 8] =
            core::array::from_fn(|at| PayloadRule::new(96 + at as u8, 120 + at as u8, PayloadFate::Pass));
        let flow = flow(0, &rules);
        for payload_type in 96..104 {
            let of = |marker| ruling(&flow, first(0x80, marker | payload_type), 172);
            assert_eq!(of(0), Ruling::Pass(first(0x80, payload_type + 24)));
            assert_eq!(of(0x80), Ruling::Pass(first(0x80, 0x80 | (payload_type + 24))));
        }
        assert_eq!(ruling(&flow, first(0x80, 0), 172), Ruling::Pass(first(0x80, 0)), "nobody spoke of it");
    }

    #[test]
    fn what_is_blocked_is_blocked_and_rtcp_never_is() {
        let dtmf = flow(0, &[PayloadRule::new(101, 101, PayloadFate::Block)]);
        assert_eq!(ruling(&dtmf, first(0x80, 0x80 | 101), 16), Ruling::Block);
        assert!(matches!(ruling(&dtmf, first(0x80, 0), 16), Ruling::Pass(_)));
        let all = flow(FLAG_BLOCKS_OTHERS, &[]);
        for payload_type in (0..64).chain(96..128) {
            assert_eq!(ruling(&all, first(0xb0, payload_type), 172), Ruling::Block);
        }
        for kind in 192..=223 {
            assert_eq!(ruling(&all, first(0x81, kind), 8), Ruling::Pass(first(0x81, kind)), "RTCP");
        }
    }

    #[test]
    fn what_is_too_short_for_rtp_is_the_legs() {
        assert_eq!(ruling(&flow(0, &[]), first(0x80, 0), 11), Ruling::Leg);
    }

    #[test]
    fn a_flow_without_rules_looks_at_nothing() {
        let plain = Flow::default();
        plain.publish(&FlowSpec { flags: FLAG_MEDIA_ONLY, ..FlowSpec::default() }, u64::MAX);
        for word in [first(0x80, 0), first(0xbf, 101)] {
            assert_eq!(ruling(&plain, word, 4), Ruling::Pass(word));
        }
    }
}
