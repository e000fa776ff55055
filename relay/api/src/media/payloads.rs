//! What a flow in XDP may do with RTP by its payload type.

use serde::{Deserialize, Serialize};

use crate::limits::PAYLOAD_RULES_MAX;

/// What becomes of the RTP of a flow; RTCP always passes. By default all of it passes as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRules {
    /// RTP whose payload type is not named is dropped.
    pub block_others: bool,
    /// Each payload type once.
    pub named: [Option<PayloadRule>; PAYLOAD_RULES_MAX],
}

/// What becomes of RTP of one payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRule {
    /// RTP payload type as it arrives: 0 to 63, 96 to 127.
    pub payload_type: u8,
    /// As it leaves.
    pub renamed: u8,
    /// What becomes of the payload.
    pub fate: PayloadFate,
}

/// What becomes of the payload of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadFate {
    /// It passes.
    Pass,
    /// The packet is dropped.
    Block,
}

impl PayloadRules {
    /// Rules for these payload types; nothing if they are more than fit.
    pub fn naming(block_others: bool, rules: impl IntoIterator<Item = PayloadRule>) -> Option<Self> {
        let mut named = [None; PAYLOAD_RULES_MAX];
        let mut places = named.iter_mut();
        for rule in rules {
            *places.next()? = Some(rule);
        }
        Some(Self { block_others, named })
    }
}
