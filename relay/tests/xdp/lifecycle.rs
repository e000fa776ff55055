//! Pins: what a restart finds, what it refuses, and what is left after detach.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::{ABI_VERSION, CHANNEL_INDICATION, Counter, Direction, FlowKey, map_name};
use raceway_api::XdpMode;
use raceway_relay::fast_path::FastPath;
use raceway_relay::xdp::{Xdp, XdpError, XdpModeWish, detach};

use crate::differential::{XDP_TX, run, write_world};
use crate::net::{Pair, command};
use crate::place::{Place, with_bpf};
use crate::support::packet::{Packet, channel_data};
use crate::support::world::{FOREVER_NS, channel, client, forward, key, listener, peer, relayed};

fn version_directory(place: &Place) -> PathBuf {
    place.options.pin_dir.join(format!("v{ABI_VERSION}"))
}

/// Whether `ip link` says that a program is on the interface.
fn is_attached(interface: &str) -> bool {
    command(&["ip", "link", "show", "dev", interface]).contains("prog/xdp")
}

#[test]
fn needs_bpf_a_restart_finds_flows_figures_and_links() {
    with_bpf("adoption", |place| {
        let pair = Pair::here("test0", "test1");
        place.options.interfaces = vec![pair.ours.clone()];
        let spec = forward(key(client(false), listener(false), 0x4000), relayed(false, 0), peer(false), 0);
        let mut before = place.open().expect("opens");
        assert_eq!(before.interfaces()[0].mode, XdpMode::Native, "{:?}", before.interfaces());
        before.flows()[5].publish(&spec, FOREVER_NS);
        before.flows()[5].measured.packets.store(99, Relaxed);
        before.slots().insert(&spec.key, 5).expect("room");
        drop(before);
        assert!(is_attached(&pair.ours), "it goes on without us");
        let mut after = place.open().expect("opens again");
        assert_eq!(after.slots().entries(), [(spec.key, 5)]);
        assert_eq!(after.flows()[5].spec(), spec);
        assert_eq!(after.flows()[5].measured.packets.load(Relaxed), 99);
        assert_eq!(after.interfaces()[0].mode, XdpMode::Native);
        assert_eq!(after.interfaces()[0].reason, "kept from the relay before");
        after.slots().remove(&spec.key).expect("it is there");
        assert!(after.slots().remove(&spec.key).is_err());
        assert_eq!(after.slots().entries(), []);
        assert_eq!(after.counters()[Counter::packets(Direction::ClientToPeer).index() as usize], 0);
    });
}

/// A key for each number.
fn numbered(number: u16) -> FlowKey {
    key(client(false), listener(false), 0x4000 + number)
}

/// What is in the table of XDP, in order of numbers.
fn table(place: &Place) -> Vec<(FlowKey, u32)> {
    let mut entries = place.open().expect("opens").slots().entries();
    entries.sort_by_key(|(_, slot)| *slot);
    entries
}

#[test]
fn needs_bpf_entries_are_written_many_at_a_time_and_the_one_that_fails_is_named() {
    with_bpf("batch", |place| {
        place.options.flows_max = 4;
        let entries: Vec<(FlowKey, u32)> = (0..6).map(|number| (numbered(number), u32::from(number))).collect();
        let mut xdp = place.open().expect("opens");
        xdp.slots().insert_all(&[]).expect("nothing to do");
        let again = [entries[0], (entries[0].0, 9), entries[1]];
        xdp.slots().insert_all(&again).expect("room");
        assert_eq!(table(place), [entries[1], (entries[0].0, 9)], "in order: the last counts");
        let (at, error) = xdp.slots().insert_all(&entries).expect_err("the table is full");
        assert_eq!(at, 4, "{error}");
        assert_eq!(table(place), entries[..4]);
    });
}

#[test]
fn needs_bpf_flows_are_found_once_settled_and_those_that_xdp_never_looks_up_never() {
    with_bpf("settle", |place| {
        let indications = key(client(false), listener(false), CHANNEL_INDICATION);
        let mut fast_path = FastPath::new(place.open().expect("opens"), 1);
        fast_path.insert(&indications, 1);
        fast_path.insert(&numbered(2), 2);
        fast_path.insert(&numbered(3), 3);
        assert_eq!(table(place), []);
        fast_path.remove(&numbered(3));
        fast_path.settle();
        assert_eq!(table(place), [(numbered(2), 2)]);
        fast_path.remove(&indications);
        fast_path.insert(&numbered(2), 4);
        fast_path.settle();
        assert_eq!(table(place), [(numbered(2), 4)]);
    });
}

#[test]
fn needs_bpf_a_flow_for_which_xdp_has_no_room_leads_nowhere_there() {
    with_bpf("no room", |place| {
        place.options.flows_max = 2;
        let mut fast_path = FastPath::new(place.open().expect("opens"), 1);
        (0..4).for_each(|number| fast_path.insert(&numbered(number), u32::from(number)));
        fast_path.insert(&numbered(1), 7);
        fast_path.settle();
        assert_eq!(table(place), [(numbered(0), 0), (numbered(1), 7)], "what comes after it is written");
    });
}

#[test]
fn needs_bpf_detach_leaves_nothing() {
    with_bpf("detach", |place| {
        let pair = Pair::here("test0", "test1");
        place.options.interfaces = vec![pair.ours.clone()];
        let _running = place.open().expect("opens");
        assert!(is_attached(&pair.ours));
        detach(&place.options.pin_dir).expect("allowed");
        assert!(!place.options.pin_dir.exists(), "the directory is still there");
        assert!(!is_attached(&pair.ours), "even under a relay that runs");
        assert!(!version_directory(place).exists());
        detach(&place.options.pin_dir).expect("nothing to do");
    });
}

#[test]
fn needs_bpf_switching_xdp_off_detaches() {
    with_bpf("off", |place| {
        let pair = Pair::here("test0", "test1");
        place.options.interfaces = vec![pair.ours.clone()];
        place.open().expect("opens");
        place.options.mode = XdpModeWish::Off;
        assert!(matches!(place.open(), Err(XdpError::TurnedOff)));
        assert!(!is_attached(&pair.ours));
    });
}

#[test]
fn needs_bpf_an_interface_that_is_no_longer_wanted_is_left() {
    with_bpf("left", |place| {
        let first = Pair::here("test0", "test1");
        let second = Pair::here("test2", "test3");
        place.options.interfaces = vec![first.ours.clone(), second.ours.clone()];
        place.open().expect("opens");
        place.options.interfaces = vec![second.ours.clone()];
        place.open().expect("opens");
        assert!(!is_attached(&first.ours));
        assert!(is_attached(&second.ours));
    });
}

#[test]
fn needs_bpf_maps_of_another_version_are_refused_and_untouched() {
    with_bpf("version", |place| {
        place.open().expect("opens").settings()[0].abi_version.store(ABI_VERSION + 1, Relaxed);
        let error = place.open().err().expect("another version");
        assert!(matches!(error, XdpError::OtherVersion { found, .. } if found == ABI_VERSION + 1), "{error}");
        assert!(error.to_string().contains("racewayctl detach"), "{error}");
        assert!(version_directory(place).join(map_name::FLOWS).exists());
        std::fs::rename(version_directory(place), place.options.pin_dir.join("v4000000000")).expect("ours");
        let error = place.open().err().expect("another version");
        assert!(matches!(error, XdpError::OtherVersion { found: 4_000_000_000, .. }), "{error}");
        assert!(!version_directory(place).exists(), "nothing was made");
    });
}

#[test]
fn needs_bpf_tables_of_another_size_are_refused() {
    with_bpf("size", |place| {
        place.open().expect("opens");
        place.options.flows_max *= 2;
        let error = place.open().err().expect("another size");
        assert!(matches!(error, XdpError::OtherSize { found: 1024, wanted: 2048, .. }), "{error}");
        place.options.flows_max = 0;
        assert!(matches!(place.open(), Err(XdpError::FlowsMax(0))));
    });
}

/// What a crash between two pins leaves is not taken for maps.
#[test]
fn needs_bpf_half_of_the_pins_is_a_fresh_start() {
    with_bpf("half", |place| {
        place.open().expect("opens").flows()[0].measured.packets.store(7, Relaxed);
        std::fs::remove_file(version_directory(place).join(map_name::SETTINGS)).expect("pinned");
        let fresh = place.open().expect("opens");
        assert_eq!(fresh.flows()[0].measured.packets.load(Relaxed), 0);
        assert_eq!(fresh.settings()[0].abi_version.load(Relaxed), ABI_VERSION);
    });
}

#[test]
fn needs_bpf_modes_fall_back_and_say_why() {
    with_bpf("modes", |place| {
        let pair = Pair::here("test0", "test1");
        command(&["ip", "link", "set", "lo", "up"]);
        let names = ["lo".to_owned(), pair.ours.clone(), "no-such-device".to_owned()];
        place.options.interfaces = names.to_vec();
        let modes = |place: &Place| -> Vec<_> {
            place.open().expect("opens").interfaces().iter().map(|got| (got.mode, got.reason.clone())).collect()
        };
        let got = modes(place);
        assert_eq!(got[0], (XdpMode::Generic, "native: the driver does not support it".to_owned()));
        assert_eq!(got[1], (XdpMode::Native, "in the driver".to_owned()));
        assert_eq!(got[2], (XdpMode::Off, "there is no such interface".to_owned()));
        place.options.mode = XdpModeWish::Generic;
        let got = modes(place);
        assert_eq!(got[1], (XdpMode::Generic, "as configured".to_owned()));
        place.options.mode = XdpModeWish::Native;
        let got = modes(place);
        assert_eq!(got[0], (XdpMode::Off, "native: the driver does not support it".to_owned()));
        assert_eq!(got[1].0, XdpMode::Native);
    });
}

/// The default of veth, and so of containers: what XDP sends there is lost without a trace.
#[test]
fn needs_bpf_a_veth_whose_far_end_is_deaf_is_not_driven_natively() {
    with_bpf("deaf", |place| {
        let pair = Pair::here("test0", "test1");
        command(&["ethtool", "-K", &pair.theirs, "gro", "off"]);
        place.options.interfaces = vec![pair.ours.clone()];
        let opened = place.open().expect("opens");
        let [got] = opened.interfaces() else { panic!("one interface") };
        assert_eq!(got.mode, XdpMode::Generic);
        assert!(got.reason.contains("gro on"), "{}", got.reason);
        // Who asks for it by name gets it, and the reason with it.
        place.options.mode = XdpModeWish::Native;
        let opened = place.open().expect("opens");
        assert_eq!(opened.interfaces()[0].mode, XdpMode::Native);
        assert!(opened.interfaces()[0].reason.contains("gro on"));
    });
}

/// Whether the far end of a pair takes what XDP sends.
fn polls(pair: &Pair, yes: bool) {
    command(&["ethtool", "-K", &pair.theirs, "gro", if yes { "on" } else { "off" }]);
}

fn relay_one(xdp: &mut Xdp) {
    let packet = Packet::new(client(false), listener(false), channel_data(channel::PLAIN, b"media"));
    assert_eq!(run(xdp, &packet.frame()).0, XDP_TX);
}

/// What the one interface has after a look.
fn looked_at(xdp: &mut Xdp) -> (XdpMode, String) {
    xdp.refresh().expect("allowed");
    let [interface] = xdp.interfaces() else { panic!("one interface") };
    (interface.mode, interface.reason.clone())
}

/// Whether `ip link` says that the program is in the general receive path.
fn is_generic(pair: &Pair) -> bool {
    command(&["ip", "link", "show", "dev", &pair.ours]).contains("xdpgeneric")
}

#[test]
fn needs_bpf_a_far_end_that_goes_deaf_is_noticed_while_packets_are_relayed_and_so_is_its_return() {
    with_bpf("goes deaf", |place| {
        let pair = Pair::here("test0", "test1");
        place.options.interfaces = vec![pair.ours.clone()];
        let mut xdp = place.open().expect("opens");
        write_world(&mut xdp);
        relay_one(&mut xdp);
        assert_eq!(looked_at(&mut xdp).0, XdpMode::Native, "it takes them");
        polls(&pair, false);
        assert_eq!(looked_at(&mut xdp).0, XdpMode::Native, "nothing is lost while nothing is relayed");
        relay_one(&mut xdp);
        let (mode, reason) = looked_at(&mut xdp);
        assert_eq!((mode, is_generic(&pair)), (XdpMode::Generic, true));
        assert!(reason.contains("gro on"), "{reason}");
        assert_eq!(looked_at(&mut xdp).0, XdpMode::Generic);
        polls(&pair, true);
        assert_eq!(looked_at(&mut xdp), (XdpMode::Native, "in the driver".to_owned()));
        assert!(is_attached(&pair.ours) && !is_generic(&pair));
    });
}

#[test]
fn needs_bpf_a_relay_that_takes_over_from_one_with_a_deaf_far_end_looks_again() {
    with_bpf("deaf before", |place| {
        let pair = Pair::here("test0", "test1");
        polls(&pair, false);
        place.options.interfaces = vec![pair.ours.clone()];
        place.open().expect("opens");
        let mut xdp = place.open().expect("opens");
        assert_eq!(looked_at(&mut xdp), (XdpMode::Generic, "kept from the relay before".to_owned()));
        polls(&pair, true);
        assert_eq!(looked_at(&mut xdp).0, XdpMode::Native);
    });
}

#[test]
fn needs_bpf_who_asks_for_native_by_name_keeps_it_and_is_told_of_a_deaf_far_end() {
    with_bpf("native deaf", |place| {
        let pair = Pair::here("test0", "test1");
        place.options.interfaces = vec![pair.ours.clone()];
        place.options.mode = XdpModeWish::Native;
        let mut xdp = place.open().expect("opens");
        write_world(&mut xdp);
        let pin = version_directory(place).join(format!("native-{}", xdp.interfaces()[0].ifindex));
        let link = || pin.metadata().expect("pinned").ino();
        let before = link();
        polls(&pair, false);
        relay_one(&mut xdp);
        let (mode, reason) = looked_at(&mut xdp);
        assert!(mode == XdpMode::Native && reason.contains("gro on"), "{reason}");
        polls(&pair, true);
        assert_eq!(looked_at(&mut xdp), (XdpMode::Native, "in the driver".to_owned()));
        assert_eq!(link(), before, "it was never off");
    });
}

#[test]
fn needs_bpf_an_interface_that_another_program_holds_is_off_and_says_so() {
    with_bpf("held", |place| {
        let pair = Pair::here("test0", "test1");
        place.options.interfaces = vec![pair.ours.clone()];
        let _holder = place.open().expect("opens");
        let mut other = Place::new();
        other.options.interfaces = vec![pair.ours.clone()];
        let got = other.open().expect("opens");
        assert_eq!(got.interfaces()[0].mode, XdpMode::Off);
        assert!(got.interfaces()[0].reason.contains("another XDP program is attached"), "{:?}", got.interfaces());
    });
}

#[test]
fn needs_bpf_by_default_every_ethernet_interface_that_is_up_is_attached_to() {
    with_bpf("default", |place| {
        let up = Pair::here("test0", "test1");
        let down = Pair::here("test2", "test3");
        for name in [&down.ours, &down.theirs] {
            command(&["ip", "link", "set", name, "down"]);
        }
        command(&["ip", "link", "set", "lo", "up"]);
        place.options.interfaces.clear();
        let xdp = place.open().expect("opens");
        let mut got: Vec<_> = xdp.interfaces().iter().map(|got| (got.name.as_str(), got.mode)).collect();
        got.sort_by_key(|(name, _)| *name);
        assert_eq!(got, [(&*up.ours, XdpMode::Native), (&*up.theirs, XdpMode::Native)]);
    });
}
