//! The new headers of a datagram.

use raceway_abi::{CHANNEL_NONE, Flow, KEEP_DSCP};

use crate::channel::{CHANNEL_DATA_OCTETS, ChannelHeader};
use crate::checksum::{changed, fold, of_address, of_udp, of_words};
use crate::parse::{
    Datagram, ETHERNET_OCTETS, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, IPV4_OCTETS, IPV6_OCTETS, PROTOCOL_SUM,
    PROTOCOL_UDP, UDP_OCTETS, VLAN_OCTETS,
};
use crate::{Address, Packet, Route, RouteQuery};

/// Largest IPv4 packet translated from IPv6 that routers may fragment (RFC 7915 section 5.1).
const FRAGMENTABLE_MAX: usize = 1260;
/// "Don't fragment" in the second word of an IPv4 header.
const DONT_FRAGMENT: u32 = 0x0040_0000;

/// A datagram as it will leave.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    source: Address,
    destination: Address,
    ports_word: u32,
    /// Channel number to push, or [`CHANNEL_NONE`].
    channel: u16,
    /// Octets of ChannelData header to take away.
    pop_octets: usize,
    /// Octets of application data.
    pub data_octets: usize,
    traffic_class: u8,
    checksum: u16,
    /// The first four octets of the application data, read in little-endian order.
    first: u32,
    /// What an IPv4 header says about fragments: identification and flags, as its second word.
    fragment_word: u32,
}

impl Outgoing {
    /// `datagram`, without the ChannelData header if it came with one (`popped`), as `flow` sends it, and with other first four
    /// octets of application data, if it did not come so. Nothing when its checksum cannot be made here, or the flow's
    /// addresses are of two families.
    #[inline(always)]
    pub fn new<P: Packet>(packet: &P, datagram: &Datagram, popped: bool, flow: &Flow, first: u32) -> Option<Self> {
        let pop_octets = if popped { CHANNEL_DATA_OCTETS } else { 0 };
        let mut outgoing = Self {
            source: Address::from_native(flow.source_words()),
            destination: Address::from_native(flow.destination_words()),
            ports_word: u32::from(flow.source_port().swap_bytes())
                | u32::from(flow.destination_port().swap_bytes()) << 16,
            channel: flow.push_channel(),
            pop_octets,
            data_octets: datagram.payload_octets - pop_octets,
            traffic_class: traffic_class(datagram.traffic_class, flow.dscp()),
            checksum: 0,
            first,
            fragment_word: 0,
        };
        if outgoing.source.is_v4() != outgoing.destination.is_v4() {
            return None;
        }
        outgoing.checksum = outgoing.udp_checksum(packet, datagram)?;
        Some(outgoing)
    }

    /// What the IPv4 header will say about fragments (RFC 8656 section 14: "don't fragment" is copied; section 13.3
    /// by way of RFC 7915 section 5.1: translated packets may be fragmented up to 1260 octets).
    ///
    /// The identification matters only where a router may fragment (RFC 6864 section 4.1), so it is zero else.
    /// There it is the flow's count of packets, which does not repeat for 65536 of them, from an offset that tells
    /// flows apart. (The incoming one was unique for other addresses, and a client could choose it to meet
    /// another client's.)
    #[inline(always)]
    pub fn set_fragmenting(&mut self, datagram: &Datagram, packets: u64) {
        let dont_fragment =
            if datagram.source.is_v4() { datagram.dont_fragment } else { self.ip_octets() > FRAGMENTABLE_MAX };
        self.fragment_word = if dont_fragment {
            DONT_FRAGMENT
        } else {
            (packets as u32).wrapping_add(self.ports_word).wrapping_add(self.ports_word >> 16) & 0xffff
        };
    }

    /// What its route is looked up by.
    #[inline(always)]
    #[must_use]
    pub const fn route_query(&self) -> RouteQuery {
        RouteQuery {
            source: self.source,
            destination: self.destination,
            ip_octets: self.ip_octets() as u16,
            traffic_class: self.traffic_class,
        }
    }

    /// Octets of the IP packet.
    #[inline(always)]
    #[must_use]
    pub const fn ip_octets(&self) -> usize {
        self.ip_header_octets() + UDP_OCTETS + self.payload_octets()
    }

    /// Where the application data was in the frame as it came.
    #[inline(always)]
    #[must_use]
    pub const fn data_at(&self, datagram: &Datagram) -> usize {
        datagram.payload_at + self.pop_octets
    }

    #[inline(always)]
    const fn ip_header_octets(&self) -> usize {
        if self.destination.is_v4() { IPV4_OCTETS } else { IPV6_OCTETS }
    }

    #[inline(always)]
    const fn payload_octets(&self) -> usize {
        self.data_octets + self.push_octets()
    }

    #[inline(always)]
    const fn push_octets(&self) -> usize {
        if self.channel == CHANNEL_NONE { 0 } else { CHANNEL_DATA_OCTETS }
    }

    /// Octets before the application data.
    #[inline(always)]
    const fn header_octets(&self, route: &Route) -> usize {
        let link = if route.vlan_tci == 0 { ETHERNET_OCTETS } else { ETHERNET_OCTETS + VLAN_OCTETS };
        link + self.ip_header_octets() + UDP_OCTETS + self.push_octets()
    }

    #[inline(always)]
    const fn channel_word(&self) -> u32 {
        if self.channel == CHANNEL_NONE {
            return 0;
        }
        ChannelHeader { channel: self.channel, octets: self.data_octets as u16 }.word()
    }

    #[inline(always)]
    const fn udp_octets_word(&self) -> u32 {
        ((UDP_OCTETS + self.payload_octets()) as u16).swap_bytes() as u32
    }

    /// Sum of everything that the checksum covers but the application data.
    #[inline(always)]
    const fn headers_sum(&self) -> u64 {
        of_address(self.source)
            + of_address(self.destination)
            + PROTOCOL_SUM
            + self.ports_word as u64
            + 2 * self.udp_octets_word() as u64
            + self.channel_word() as u64
    }

    /// The checksum by what changed, or over everything when there is none to change.
    #[inline(always)]
    fn udp_checksum<P: Packet>(&self, packet: &P, datagram: &Datagram) -> Option<u16> {
        let absent = datagram.checksum == 0;
        // RFC 768: zero means that the sender made none; IPv4 lets us keep that.
        if absent && self.destination.is_v4() {
            return Some(0);
        }
        let [h0, ..] = datagram.head;
        let (gone, come) = if self.pop_octets == 0 { (h0, self.first) } else { (0, 0) };
        if absent || datagram.checksum_is_unfinished() {
            let data = packet.sum(self.data_at(datagram), self.data_octets)?;
            let data = u64::from(fold(data)) + u64::from(!fold(gone.into())) + u64::from(come);
            return Some(of_udp(self.headers_sum() + data));
        }
        let popped = if self.pop_octets == 0 { 0 } else { u64::from(h0) };
        let removed = datagram.pseudo_sum() + u64::from(datagram.ports_word) + datagram.length_sum() + popped;
        Some(changed(datagram.checksum, removed + u64::from(gone), self.headers_sum() + u64::from(come)))
    }

    /// Makes room for the new headers; false, and nothing done, when there is none.
    #[inline(always)]
    pub fn make_room<P: Packet>(&self, packet: &mut P, datagram: &Datagram, route: &Route) -> bool {
        packet.move_start(self.data_at(datagram) as isize - self.header_octets(route) as isize)
    }

    /// Writes the new headers, and the first octets of application data that change. Nothing only if the room is not there.
    #[inline(always)]
    pub fn write<P: Packet>(&self, packet: &mut P, datagram: &Datagram, route: &Route) -> Option<()> {
        let destination = route.destination_mac;
        let source = route.source_mac;
        packet.put_words(
            0,
            [destination as u32, (destination >> 32) as u32 & 0xffff | (source as u32) << 16, (source >> 16) as u32],
        )?;
        let ethertype = if self.destination.is_v4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        if route.vlan_tci == 0 {
            packet.put_field(12, ethertype)?;
            self.write_ip(packet, ETHERNET_OCTETS, datagram.hop_limit)?;
        } else {
            packet.put_field(12, ETHERTYPE_VLAN)?;
            packet.put_field(14, route.vlan_tci)?;
            packet.put_field(16, ethertype)?;
            self.write_ip(packet, ETHERNET_OCTETS + VLAN_OCTETS, datagram.hop_limit)?;
        }
        if self.pop_octets == 0 && self.first != datagram.head[0] {
            packet.put_words(self.header_octets(route), [self.first])?;
        }
        Some(())
    }

    #[inline(always)]
    fn write_ip<P: Packet>(&self, packet: &mut P, ip_at: usize, hop_limit: u8) -> Option<()> {
        let hop_limit = u32::from(hop_limit).wrapping_sub(1) & 0xff;
        if self.destination.is_v4() {
            packet.put_words(ip_at, self.ipv4(hop_limit))?;
            self.write_udp(packet, ip_at + IPV4_OCTETS)
        } else {
            packet.put_words(ip_at, self.ipv6(hop_limit))?;
            self.write_udp(packet, ip_at + IPV6_OCTETS)
        }
    }

    #[inline(always)]
    fn ipv4(&self, hop_limit: u32) -> [u32; 5] {
        let octets = (self.ip_octets() as u16).swap_bytes();
        let first = 0x45 | u32::from(self.traffic_class) << 8 | u32::from(octets) << 16;
        let third = hop_limit | u32::from(PROTOCOL_UDP) << 8;
        let [source, destination] = [self.source.v4_word(), self.destination.v4_word()];
        let sum = of_words([first, self.fragment_word, third, source, destination]);
        [first, self.fragment_word, third | u32::from(!fold(sum)) << 16, source, destination]
    }

    /// The flow label is zero, as RFC 8656 section 13 has it for a server that does not compute one.
    #[inline(always)]
    fn ipv6(&self, hop_limit: u32) -> [u32; 10] {
        let class = u32::from(self.traffic_class);
        let [s0, s1, s2, s3] = self.source.words();
        let [d0, d1, d2, d3] = self.destination.words();
        [
            0x60 | class >> 4 | (class & 0xf) << 12,
            self.udp_octets_word() | u32::from(PROTOCOL_UDP) << 16 | hop_limit << 24,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    }

    #[inline(always)]
    fn write_udp<P: Packet>(&self, packet: &mut P, udp_at: usize) -> Option<()> {
        let second = self.udp_octets_word() | u32::from(self.checksum) << 16;
        if self.channel == CHANNEL_NONE {
            packet.put_words(udp_at, [self.ports_word, second])
        } else {
            packet.put_words(udp_at, [self.ports_word, second, self.channel_word()])
        }
    }
}

/// RFC 8656 section 14: DSCP as it came, unless the flow is marked; ECN as it came.
#[inline(always)]
const fn traffic_class(incoming: u8, dscp: u8) -> u8 {
    const ECN: u8 = 0b11;
    if dscp == KEEP_DSCP { incoming } else { dscp << 2 | incoming & ECN }
}
