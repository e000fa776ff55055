//! Ethernet, 802.1Q, IP and UDP headers.

use crate::checksum::{fold, of_address, of_words};
use crate::{Address, Packet};

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// Octets of an Ethernet header without tag.
pub const ETHERNET_OCTETS: usize = 14;
/// Octets of an 802.1Q tag.
pub const VLAN_OCTETS: usize = 4;
/// Octets of an IPv4 header without options.
pub const IPV4_OCTETS: usize = 20;
/// Octets of an IPv6 header.
pub const IPV6_OCTETS: usize = 40;
/// Octets of a UDP header.
pub const UDP_OCTETS: usize = 8;

/// A ChannelData header and an RTP header.
const HEAD_WORDS: usize = 4;

/// Version 4, header of five words.
const IPV4_FIRST_OCTET: u32 = 0x45;
/// In the second word of an IPv4 header: everything about fragments but "don't".
const IPV4_FRAGMENT: u32 = 0xffbf_0000;
/// In the second word of an IPv4 header: "don't fragment".
const IPV4_DONT_FRAGMENT: u32 = 0x0040_0000;

/// Headers of a UDP datagram: whole, in one frame, without IP options or extension headers.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Where the UDP payload is.
    pub payload_at: usize,
    /// Octets of UDP payload.
    pub payload_octets: usize,
    /// The first 16 octets of it or, where it is shorter, of whatever the frame holds there; read in little-endian
    /// order. They are read here, once, so that nothing later depends on where the payload is.
    pub head: [u32; HEAD_WORDS],
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Both ports as on the wire, read in little-endian order.
    pub ports_word: u32,
    /// UDP checksum as on the wire, read in little-endian order; zero is none.
    pub checksum: u16,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// IPv4: "don't fragment" is set. IPv6: true, routers do not fragment it.
    pub dont_fragment: bool,
}

impl Datagram {
    /// Reads the headers; nothing when the frame holds something else, or anything that the kernel should look
    /// at: options, fragments, a wrong header checksum, lengths that do not agree.
    #[inline(always)]
    pub fn parse<P: Packet>(packet: &P) -> Option<Self> {
        let [first_mac_word] = packet.words::<1>(0)?;
        let is_group = first_mac_word & 1 != 0;
        if is_group {
            return None;
        }
        match packet.field(12)? {
            ETHERTYPE_VLAN => match packet.field(16)? {
                ETHERTYPE_IPV4 => Self::parse_v4(packet, ETHERNET_OCTETS + VLAN_OCTETS),
                ETHERTYPE_IPV6 => Self::parse_v6(packet, ETHERNET_OCTETS + VLAN_OCTETS),
                _ => None,
            },
            ETHERTYPE_IPV4 => Self::parse_v4(packet, ETHERNET_OCTETS),
            ETHERTYPE_IPV6 => Self::parse_v6(packet, ETHERNET_OCTETS),
            _ => None,
        }
    }

    #[inline(always)]
    fn parse_v4<P: Packet>(packet: &P, ip_at: usize) -> Option<Self> {
        let [w0, w1, w2, source, destination, ports_word, udp] = packet.words::<7>(ip_at)?;
        let plain = w0 & 0xff == IPV4_FIRST_OCTET && w1 & IPV4_FRAGMENT == 0;
        let is_udp = (w2 >> 8) as u8 == PROTOCOL_UDP;
        if !plain || !is_udp || fold(of_words([w0, w1, w2, source, destination])) != 0xffff {
            return None;
        }
        let ip_payload = usize::from(((w0 >> 16) as u16).swap_bytes()).checked_sub(IPV4_OCTETS)?;
        let payload_at = ip_at + IPV4_OCTETS + UDP_OCTETS;
        let payload_octets = payload_octets(packet, payload_at, ip_payload, udp)?;
        Some(Self {
            payload_at,
            payload_octets,
            head: head(packet, payload_at),
            source: Address::from_v4_word(source),
            destination: Address::from_v4_word(destination),
            ports_word,
            checksum: (udp >> 16) as u16,
            traffic_class: (w0 >> 8) as u8,
            hop_limit: w2 as u8,
            dont_fragment: w1 & IPV4_DONT_FRAGMENT != 0,
        })
    }

    #[inline(always)]
    fn parse_v6<P: Packet>(packet: &P, ip_at: usize) -> Option<Self> {
        let [w0, w1, s0, s1, s2, s3, d0, d1, d2, d3, ports_word, udp] = packet.words::<12>(ip_at)?;
        let is_udp = (w1 >> 16) as u8 == PROTOCOL_UDP;
        let checksum = (udp >> 16) as u16;
        // RFC 8200 section 8.1: over IPv6 a UDP checksum of zero is not allowed.
        if w0 & 0xf0 != 0x60 || !is_udp || checksum == 0 {
            return None;
        }
        let source = Address::from_words([s0, s1, s2, s3]);
        let destination = Address::from_words([d0, d1, d2, d3]);
        // A mapped address has no business on the wire, and would be taken for IPv4 here.
        if source.is_v4() || destination.is_v4() {
            return None;
        }
        let payload_at = ip_at + IPV6_OCTETS + UDP_OCTETS;
        let ip_payload = usize::from((w1 as u16).swap_bytes());
        let payload_octets = payload_octets(packet, payload_at, ip_payload, udp)?;
        Some(Self {
            payload_at,
            payload_octets,
            head: head(packet, payload_at),
            source,
            destination,
            ports_word,
            checksum,
            traffic_class: ((w0 & 0xf) << 4 | (w0 >> 12 & 0xf)) as u8,
            hop_limit: (w1 >> 24) as u8,
            dont_fragment: true,
        })
    }

    /// Source port.
    #[inline(always)]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        (self.ports_word as u16).swap_bytes()
    }

    /// Destination port.
    #[inline(always)]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        ((self.ports_word >> 16) as u16).swap_bytes()
    }

    /// Sum of the pseudo-header (RFC 768, RFC 8200 section 8.1).
    #[inline(always)]
    #[must_use]
    pub const fn pseudo_sum(&self) -> u64 {
        of_address(self.source) + of_address(self.destination) + PROTOCOL_SUM + self.length_sum()
    }

    /// The UDP length as it adds to a sum.
    #[inline(always)]
    #[must_use]
    pub const fn length_sum(&self) -> u64 {
        ((UDP_OCTETS + self.payload_octets) as u16).swap_bytes() as u64
    }

    /// Whether the checksum field holds the sum of the pseudo-header alone, which is how a virtual device hands
    /// over a datagram whose checksum it left to hardware that will never see it. (One in 65536 finished checksums
    /// looks the same; computing it again gives the same value.)
    #[inline(always)]
    #[must_use]
    pub const fn checksum_is_unfinished(&self) -> bool {
        self.checksum == fold(self.pseudo_sum())
    }
}

/// The protocol number as it adds to a sum.
pub(crate) const PROTOCOL_SUM: u64 = (PROTOCOL_UDP as u64) << 8;

/// Octets of UDP payload, when the three lengths (frame, IP, UDP) agree.
#[inline(always)]
fn payload_octets<P: Packet>(packet: &P, payload_at: usize, ip_payload: usize, udp: u32) -> Option<usize> {
    let udp_octets = usize::from((udp as u16).swap_bytes());
    let payload = udp_octets.checked_sub(UDP_OCTETS)?;
    (udp_octets == ip_payload && payload_at + payload <= packet.octets()).then_some(payload)
}

/// See [`Datagram::head`].
#[inline(always)]
fn head<P: Packet>(packet: &P, at: usize) -> [u32; HEAD_WORDS] {
    if let Some(head) = packet.words(at) {
        return head;
    }
    let mut head = [0; HEAD_WORDS];
    if let Some([a, b, c]) = packet.words(at) {
        [head[0], head[1], head[2]] = [a, b, c];
    } else if let Some([a]) = packet.words(at) {
        head[0] = a;
    }
    head
}
