//! The test vectors of RFC 5769 that are ICE checks.

use raceway_ice::{Agent, Component, Credentials, Mode, Outcome, Role};

use crate::world::{address, at, code};

/// Section 2.1: USERNAME `evtj:h6vY`, password `VOkJxbRl1RmTxUk/WvJxBt`, ICE-CONTROLLED.
const REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
\x80\x22\x00\x10\x53\x54\x55\x4e\x20\x74\x65\x73\x74\x20\x63\x6c\x69\x65\x6e\x74\
\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

fn give(mode: Mode, request: &[u8]) -> (Agent, Outcome) {
    let credentials = Credentials::new("evtj", "VOkJxbRl1RmTxUk/WvJxBt").unwrap();
    let mut agent = Agent::new(mode, credentials, &[address("192.0.2.9:1")], [1; 32]);
    let outcome = agent.handle_datagram(at(0), address("192.0.2.9:1"), address("192.0.2.1:32853"), request);
    (agent, outcome)
}

#[test]
fn the_sample_request_is_a_check_for_who_controls() {
    let (agent, outcome) = give(Mode::Full(Role::Controlling), REQUEST);
    assert_eq!(outcome, Outcome::Accepted);
    assert!(agent.is_validated(address("192.0.2.1:32853")));
    let (mut lite, outcome) = give(Mode::Lite, REQUEST);
    assert_eq!(outcome, Outcome::Refused(487));
    assert_eq!(code(&lite.poll_transmit().unwrap().payload), Some(487));
    assert_eq!(lite.selected(Component::Rtp), None);
}

#[test]
fn no_bit_that_is_signed_may_change() {
    // FINGERPRINT is not, and the length may leave it out.
    let fingerprint = REQUEST.len() - 8;
    for bit in (0..16).chain(32..fingerprint * 8) {
        let mut request = REQUEST.to_vec();
        request[bit / 8] ^= 1 << (bit % 8);
        let (agent, outcome) = give(Mode::Full(Role::Controlling), &request);
        assert_ne!(outcome, Outcome::Accepted, "bit {bit}");
        assert!(!agent.is_validated(address("192.0.2.1:32853")));
    }
}
