//! Whether the far end of a veth link takes frames that XDP sends.
//!
//! A veth end takes them only while it polls: while it has an XDP program or GRO of its own, and by default it has
//! neither. Otherwise they vanish, and nothing counts them. Containers have their link to the world this way, so before
//! the program goes into the driver of a veth, some frames for nobody are sent, and the kernel's count of what the
//! device sent tells. The far end may change later, and nothing announces that: see [`matters`].

use std::fs;

use aya::programs::{TestRun, Xdp as Program};
use aya::{TestRunAttrs, TestRunOptions};
use raceway_api::XdpMode;
use raceway_sys::bpf::driver_name;

use super::XdpInterface;
use super::far_end::has_program;

/// Frames sent at a time.
const FRAMES: u32 = 64;
/// Fewer of them do not arrive by themselves: what else is sent in the same moment may be counted, and a ring that is
/// full takes less.
const ARRIVED_MIN: u64 = FRAMES as u64 / 8;
/// So often must they be missing.
const ATTEMPTS: u32 = 3;
/// Counters of the devices in the network namespace of this thread.
const DEVICES: &str = "/proc/thread-self/net/dev";
/// A locally administered address that no device has.
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 0];
/// EtherType for local experiments (IEEE 802, 0x88B5).
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// Whether an interface is a veth.
pub(super) fn is_veth(interface: &str) -> bool {
    driver_name(interface).is_ok_and(|driver| driver == "veth")
}

/// Whether it should be found out anew for an interface: for one whose far end was deaf, each time (nobody else gets
/// those frames); for one that the program drives, while packets are relayed and no program at the far end says that
/// it polls.
pub(super) fn matters(interface: &XdpInterface, relaying: bool) -> bool {
    let doubtful = interface.deaf || (interface.mode == XdpMode::Native && relaying);
    doubtful && is_veth(&interface.name) && (interface.deaf || !has_program(&interface.name))
}

/// Whether frames sent to a veth by XDP arrive. True also when the kernel does not let us try.
pub(super) fn arrives(probe: &Program, interface: &str, ifindex: u32) -> bool {
    (0..ATTEMPTS).any(|_| counted(probe, interface, ifindex).is_none_or(|frames| frames >= ARRIVED_MIN))
}

/// Sends frames; how many the device counted meanwhile.
fn counted(probe: &Program, interface: &str, ifindex: u32) -> Option<u64> {
    let before = sent(interface)?;
    let frame = frame(ifindex);
    let attrs = TestRunAttrs::new().xdp_live_frames(FRAMES);
    let options = TestRunOptions { data_in: Some(&frame), repeat: FRAMES, attrs, ..TestRunOptions::new() };
    probe.test_run(options).ok()?;
    Some(sent(interface)?.wrapping_sub(before))
}

/// A frame that the probe program sends to this interface and nobody there wants.
fn frame(ifindex: u32) -> Vec<u8> {
    let mut frame = [&NOBODY[..], &NOBODY, &ETHERTYPE, &ifindex.to_le_bytes()].concat();
    frame.resize(60, 0);
    frame
}

/// Frames that a device has sent.
fn sent(interface: &str) -> Option<u64> {
    sent_of(&fs::read_to_string(DEVICES).ok()?, interface)
}

/// The tenth figure of a device's line.
fn sent_of(table: &str, interface: &str) -> Option<u64> {
    let figures = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    figures.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_sent_frames_is_found() {
        let table = "Inter-|   Receive  \n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                     veth0:101 102 3 4 5 6 7 8 109 110 11 12 13 14 15 16\n";
        assert_eq!(sent_of(table, "lo"), Some(10));
        assert_eq!(sent_of(table, "veth0"), Some(110));
        assert_eq!(sent_of(table, "veth"), None);
    }
}
