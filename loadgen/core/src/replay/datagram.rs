//! UDP datagrams out of frames.

use std::net::{IpAddr, SocketAddr};

use etherparse::err::packet::SliceError;
use etherparse::{EtherType, NetSlice, SlicedPacket, TransportSlice};

/// Link types (<https://www.tcpdump.org/linktypes.html>).
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const RAW: [i32; 3] = [12, 14, 101];
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const IPV4: i32 = 228;
const IPV6: i32 = 229;
const LINUX_SLL2: i32 = 276;
/// Octets of the header of [`LINUX_SLL2`], which begins with an EtherType.
const SLL2_HEADER: usize = 20;
/// Octets of the header of [`NULL`] and [`LOOP`].
const FAMILY: usize = 4;

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
}

/// What is in a frame that is no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// Not UDP.
    Protocol,
    /// Shorter than its own headers say.
    Cut,
    /// Part of a datagram.
    Fragment,
    /// A link type that is not known.
    Link,
}

/// The datagram in a frame.
pub(super) fn datagram(link: i32, octets: &[u8]) -> Result<Datagram<'_>, Other> {
    let packet = slice(link, octets)?;
    let Some(net) = packet.net else { return Err(Other::Protocol) };
    let (source, destination): (IpAddr, IpAddr) = match &net {
        NetSlice::Ipv4(v4) => (v4.header().source_addr().into(), v4.header().destination_addr().into()),
        NetSlice::Ipv6(v6) => (v6.header().source_addr().into(), v6.header().destination_addr().into()),
        NetSlice::Arp(_) => return Err(Other::Protocol),
    };
    if net.ip_payload_ref().is_some_and(|payload| payload.fragmented) {
        return Err(Other::Fragment);
    }
    let Some(TransportSlice::Udp(udp)) = packet.transport else { return Err(Other::Protocol) };
    Ok(Datagram {
        source: SocketAddr::new(source, udp.source_port()),
        destination: SocketAddr::new(destination, udp.destination_port()),
        payload: udp.payload(),
    })
}

fn slice(link: i32, octets: &[u8]) -> Result<SlicedPacket<'_>, Other> {
    let sliced = match link {
        ETHERNET => SlicedPacket::from_ethernet(octets),
        LINUX_SLL => SlicedPacket::from_linux_sll(octets),
        LINUX_SLL2 => {
            let (header, rest) = octets.split_at_checked(SLL2_HEADER).ok_or(Other::Cut)?;
            SlicedPacket::from_ether_type(EtherType(u16::from_be_bytes([header[0], header[1]])), rest)
        }
        NULL | LOOP => SlicedPacket::from_ip(octets.get(FAMILY..).ok_or(Other::Cut)?),
        IPV4 | IPV6 => SlicedPacket::from_ip(octets),
        _ if RAW.contains(&link) => SlicedPacket::from_ip(octets),
        _ => return Err(Other::Link),
    };
    sliced.map_err(|error| if matches!(error, SliceError::Len(_)) { Other::Cut } else { Other::Protocol })
}
