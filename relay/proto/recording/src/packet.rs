//! A datagram of a party, with the IP and UDP headers that it came with, as far as they are known.

use etherparse::{IpDscp, IpEcn, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, UdpHeader};
use raceway_units::{Endpoint, Instant};

use crate::limits::{HEADERS_MAX, PACKET_MAX};

/// RTP or RTCP of a party.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it came.
    pub at: Instant,
    /// The party.
    pub from: Endpoint,
    /// Our address.
    pub to: Endpoint,
    /// TOS or traffic class that it came with.
    pub traffic_class: u8,
    /// The packet, or the beginning of it.
    pub payload: &'a [u8],
    /// Octets that the packet has.
    pub octets: usize,
}

impl Packet<'_> {
    /// Writes it as an IP datagram; gives how long the whole of it was.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> usize {
        let payload = &self.payload[..self.payload.len().min(PACKET_MAX)];
        let octets = self.octets.clamp(payload.len(), usize::from(u16::MAX) - HEADERS_MAX);
        // The range makes it so.
        let length = UdpHeader::LEN as u16 + octets as u16;
        let mut udp = UdpHeader { source_port: self.from.port, destination_port: self.to.port, length, checksum: 0 };
        let begun = out.len();
        match (self.from.v4(), self.to.v4()) {
            (Some(from), Some(to)) => {
                let ip = self.ipv4(from, to, length);
                // Of a datagram that is cut nobody can tell; zero says that there is none (RFC 768).
                if octets == payload.len() {
                    udp.checksum = udp.calc_checksum_ipv4(&ip, payload).unwrap_or(0);
                }
                out.extend(ip.to_bytes());
            }
            _ => {
                let ip = self.ipv6(length);
                if octets == payload.len() {
                    udp.checksum = udp.calc_checksum_ipv6(&ip, payload).unwrap_or(0);
                }
                out.extend(ip.to_bytes());
            }
        }
        out.extend(udp.to_bytes());
        let headers = out.len() - begun;
        out.extend_from_slice(payload);
        headers + octets
    }

    fn ipv4(&self, from: [u8; 4], to: [u8; 4], length: u16) -> Ipv4Header {
        let mut ip = Ipv4Header {
            dscp: IpDscp::try_new(self.traffic_class >> 2).unwrap_or_default(),
            ecn: IpEcn::try_new(self.traffic_class & 3).unwrap_or_default(),
            total_len: Ipv4Header::MIN_LEN_U16 + length,
            dont_fragment: true,
            time_to_live: 64,
            protocol: IpNumber::UDP,
            source: from,
            destination: to,
            ..Ipv4Header::default()
        };
        ip.header_checksum = ip.calc_header_checksum();
        ip
    }

    fn ipv6(&self, length: u16) -> Ipv6Header {
        Ipv6Header {
            traffic_class: self.traffic_class,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: length,
            next_header: IpNumber::UDP,
            hop_limit: 64,
            source: self.from.address,
            destination: self.to.address,
        }
    }
}
