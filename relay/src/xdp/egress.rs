//! Interfaces that the program may send to, and what VLAN interfaces stand for.

use std::fs;

use aya::maps::{HashMap, MapData};
use nix::net::if_::if_nametoindex;
use raceway_abi::{ALWAYS_REDIRECT, Egress};
use raceway_api::XdpMode;

use super::far_end::has_program;
use super::probe::is_veth;
use super::{XdpError, XdpInterface};

/// The kernel's list of 802.1Q interfaces, in the network namespace of this thread.
const VLANS: &str = "/proc/thread-self/net/vlan/config";
/// Size of a record in the map.
const OCTETS: usize = size_of::<Egress>();

/// An 802.1Q interface.
pub(super) struct Vlan {
    pub(super) name: String,
    pub(super) parent: String,
    tag: u16,
}

/// The 802.1Q interfaces; none when the kernel has none.
pub(super) fn vlans() -> Vec<Vlan> {
    parse_vlans(&fs::read_to_string(VLANS).unwrap_or_default())
}

fn parse_vlans(table: &str) -> Vec<Vlan> {
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim);
        let (name, tag, parent) = (cells.next()?, cells.next()?.parse().ok()?, cells.next()?);
        Some(Vlan { name: name.to_owned(), parent: parent.to_owned(), tag })
    };
    table.lines().filter_map(row).collect()
}

/// Writes what changed and removes what is gone.
pub(super) fn refresh(
    map: &mut HashMap<MapData, u32, [u8; OCTETS]>,
    interfaces: &[XdpInterface],
) -> Result<(), XdpError> {
    let loses_tx = |name: &str| is_veth(name) && !has_program(name);
    let wanted = entries(interfaces, &vlans(), |name| if_nametoindex(name).ok(), loses_tx);
    let gone: Vec<u32> =
        map.keys().filter_map(Result::ok).filter(|key| !wanted.iter().any(|(other, _)| other == key)).collect();
    for key in gone {
        map.remove(&key)?;
    }
    for (key, egress) in wanted {
        map.insert(key, octets(egress), 0)?;
    }
    Ok(())
}

/// What the map should hold. A driver cannot pass a frame to an interface that runs the program generically, so
/// next to native ones those are sent to only by themselves.
fn entries(
    interfaces: &[XdpInterface],
    vlans: &[Vlan],
    index: impl Fn(&str) -> Option<u32>,
    loses_tx: impl Fn(&str) -> bool,
) -> Vec<(u32, Egress)> {
    let native = interfaces.iter().any(|interface| interface.mode == XdpMode::Native);
    let mut entries = Vec::new();
    for interface in interfaces.iter().filter(|interface| interface.mode != XdpMode::Off) {
        let only_itself = u16::from(native && interface.mode == XdpMode::Generic);
        let flag = if loses_tx(&interface.name) { ALWAYS_REDIRECT } else { 0 };
        let egress = Egress { ifindex: interface.ifindex | flag, vlan_tci: 0, only_itself };
        entries.push((interface.ifindex, egress));
        let above = vlans.iter().filter(|vlan| vlan.parent == interface.name);
        entries.extend(above.filter_map(|vlan| Some((index(&vlan.name)?, Egress { vlan_tci: vlan.tag, ..egress }))));
    }
    entries
}

/// A record as the map has it: the fields in order, in the machine's own octet order.
pub(super) fn octets(egress: Egress) -> [u8; OCTETS] {
    let [a, b, c, d] = egress.ifindex.to_ne_bytes();
    let [e, f] = egress.vlan_tci.to_ne_bytes();
    let [g, h] = egress.only_itself.to_ne_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, ifindex: u32, mode: XdpMode) -> XdpInterface {
        XdpInterface { name: name.to_owned(), ifindex, mode, reason: String::new(), deaf: false }
    }

    #[test]
    fn vlan_interfaces_lead_to_their_parent_with_a_tag() {
        let table = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\neth0.7 | 7  | eth0\n";
        let got = entries(&[interface("eth0", 2, XdpMode::Native)], &parse_vlans(table), |_| Some(9), |_| false);
        let direct = Egress { ifindex: 2, ..Egress::default() };
        assert_eq!(got, [(2, direct), (9, Egress { vlan_tci: 7, ..direct })]);
    }

    #[test]
    fn interfaces_without_the_program_are_not_sent_to() {
        assert_eq!(entries(&[interface("eth0", 2, XdpMode::Off)], &[], |_| None, |_| false), []);
    }

    #[test]
    fn what_loses_xdp_tx_is_always_redirected_to() {
        let got = entries(&[interface("veth0", 2, XdpMode::Native)], &[], |_| None, |_| true);
        assert_eq!(got, [(2, Egress { ifindex: 2 | ALWAYS_REDIRECT, ..Egress::default() })]);
    }

    #[test]
    fn a_generic_interface_beside_a_native_one_is_sent_to_by_itself_only() {
        let both = [interface("a", 1, XdpMode::Native), interface("b", 2, XdpMode::Generic)];
        let flags: Vec<_> =
            entries(&both, &[], |_| None, |_| false).iter().map(|(_, egress)| egress.only_itself).collect();
        assert_eq!(flags, [0, 1]);
        let alone = entries(&both[1..], &[], |_| None, |_| false);
        assert_eq!(alone[0].1.only_itself, 0);
    }
}
