//! Packets written and read by the book (RFC 768, 791, 8200, 1071), without the code under test.

use std::net::{IpAddr, SocketAddr};

/// How the UDP checksum of a packet is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    #[default]
    Right,
    /// None.
    Zero,
    Wrong,
    /// The sum of the pseudo-header alone, as a virtual device leaves it.
    Unfinished,
}

/// A UDP packet to be written, right or wrong.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub payload: Vec<u8>,
    pub vlan: Option<u16>,
    pub hop_limit: u8,
    pub traffic_class: u8,
    pub dont_fragment: bool,
    pub checksum: Checksum,
    /// Second word of an IPv4 header is this instead.
    pub fragment_word: Option<u32>,
    /// Octets of IPv4 options (a multiple of 4) or of an IPv6 extension header (8 or nothing).
    pub options: usize,
    /// Protocol number.
    pub protocol: u8,
    /// Added to the UDP length field.
    pub udp_length_off: i16,
    /// Added to the IP length field.
    pub ip_length_off: i16,
    pub header_checksum_wrong: bool,
    pub group_mac: bool,
    /// Octets behind the IP packet.
    pub trailer: usize,
}

impl Packet {
    pub fn new(source: SocketAddr, destination: SocketAddr, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            source,
            destination,
            payload: payload.into(),
            vlan: None,
            hop_limit: 64,
            traffic_class: 0,
            dont_fragment: true,
            checksum: Checksum::Right,
            fragment_word: None,
            options: 0,
            protocol: 17,
            udp_length_off: 0,
            ip_length_off: 0,
            header_checksum_wrong: false,
            group_mac: false,
            trailer: 0,
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0x02, 0, 0, 0, 0, 0xaa, 0x02, 0, 0, 0, 0, 0xbb];
        if self.group_mac {
            frame[0] = 0x01;
        }
        if let Some(tci) = self.vlan {
            frame.extend_from_slice(&[0x81, 0x00]);
            frame.extend_from_slice(&tci.to_be_bytes());
        }
        let udp = self.udp();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend_from_slice(&[0x08, 0x00]);
                let length = (20 + self.options + udp.len()) as u16;
                let mut header = vec![0x45 + (self.options / 4) as u8, self.traffic_class];
                header.extend_from_slice(&length.wrapping_add_signed(self.ip_length_off).to_be_bytes());
                let flags = if self.dont_fragment { 0x4000 } else { 0 };
                header.extend_from_slice(&self.fragment_word.unwrap_or(0x1234_0000 | flags).to_be_bytes());
                header.extend_from_slice(&[self.hop_limit, self.protocol, 0, 0]);
                header.extend_from_slice(&source.octets());
                header.extend_from_slice(&destination.octets());
                header.resize(20 + self.options, 1);
                let checksum = !sum(&header) ^ u16::from(self.header_checksum_wrong);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                frame.extend_from_slice(&header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend_from_slice(&[0x86, 0xdd]);
                let class = self.traffic_class;
                frame.extend_from_slice(&[0x60 | class >> 4, class << 4 | 0x0a, 0xbc, 0xde]);
                let length = (self.options + udp.len()) as u16;
                frame.extend_from_slice(&length.wrapping_add_signed(self.ip_length_off).to_be_bytes());
                let next = if self.options == 0 { self.protocol } else { 60 };
                frame.extend_from_slice(&[next, self.hop_limit]);
                frame.extend_from_slice(&source.octets());
                frame.extend_from_slice(&destination.octets());
                if self.options > 0 {
                    frame.extend_from_slice(&[self.protocol, 0, 1, 4, 0, 0, 0, 0]);
                }
            }
            families => panic!("one packet has one family, not {families:?}"),
        }
        frame.extend_from_slice(&udp);
        frame.resize(frame.len() + self.trailer, 0xee);
        frame
    }

    fn udp(&self) -> Vec<u8> {
        let length = 8 + self.payload.len() as u16;
        let mut udp = Vec::new();
        udp.extend_from_slice(&self.source.port().to_be_bytes());
        udp.extend_from_slice(&self.destination.port().to_be_bytes());
        udp.extend_from_slice(&length.wrapping_add_signed(self.udp_length_off).to_be_bytes());
        udp.extend_from_slice(&[0, 0]);
        udp.extend_from_slice(&self.payload);
        let pseudo = pseudo_header(self.source.ip(), self.destination.ip(), length);
        let right = match !sum(&[&pseudo[..], &udp].concat()) {
            0 => 0xffff,
            checksum => checksum,
        };
        let checksum = match self.checksum {
            Checksum::Right => right,
            Checksum::Zero => 0,
            Checksum::Wrong => right ^ 0x0100,
            Checksum::Unfinished => sum(&pseudo),
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
        udp
    }
}

/// What the UDP checksum of a packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Right,
    Zero,
    Wrong,
}

/// A packet that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub destination_mac: [u8; 6],
    pub source_mac: [u8; 6],
    pub vlan: Option<u16>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub traffic_class: u8,
    pub hop_limit: u8,
    /// IPv4.
    pub identification: u16,
    /// IPv4; true over IPv6.
    pub dont_fragment: bool,
    pub checksum: Seen,
    pub payload: Vec<u8>,
    pub trailer: usize,
}

/// Reads a frame that must be right in everything but the UDP checksum.
pub fn read(frame: &[u8]) -> Read {
    let mac = |at: usize| <[u8; 6]>::try_from(&frame[at..at + 6]).expect("six octets");
    let tagged = frame[12..14] == [0x81, 0x00];
    let vlan = tagged.then(|| u16::from_be_bytes([frame[14], frame[15]]));
    let packet = &frame[if tagged { 16 } else { 12 }..];
    let ethertype = [packet[0], packet[1]];
    let packet = &packet[2..];
    match ethertype {
        [0x08, 0x00] => {
            assert_eq!(packet[0], 0x45);
            assert_eq!(sum(&packet[..20]), 0xffff, "IPv4 header checksum");
            assert_eq!(packet[9], 17);
            let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let ip = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).expect("four octets"));
            assert_eq!([packet[6] & 0xbf, packet[7]], [0, 0], "no fragment");
            let (source, destination, checksum, payload) = read_udp(&packet[20..length], ip(12), ip(16));
            Read {
                destination_mac: mac(0),
                source_mac: mac(6),
                vlan,
                source,
                destination,
                traffic_class: packet[1],
                hop_limit: packet[8],
                identification: u16::from_be_bytes([packet[4], packet[5]]),
                dont_fragment: packet[6] & 0x40 != 0,
                checksum,
                payload,
                trailer: packet.len() - length,
            }
        }
        [0x86, 0xdd] => {
            assert_eq!(packet[0] >> 4, 6);
            assert_eq!([packet[1] & 0x0f, packet[2], packet[3]], [0; 3], "flow label");
            assert_eq!(packet[6], 17);
            let length = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).expect("sixteen octets"));
            let (source, destination, checksum, payload) = read_udp(&packet[40..length], ip(8), ip(24));
            Read {
                destination_mac: mac(0),
                source_mac: mac(6),
                vlan,
                source,
                destination,
                traffic_class: packet[0] << 4 | packet[1] >> 4,
                hop_limit: packet[7],
                identification: 0,
                dont_fragment: true,
                checksum,
                payload,
                trailer: packet.len() - length,
            }
        }
        other => panic!("EtherType {other:02x?}"),
    }
}

fn read_udp(udp: &[u8], source: IpAddr, destination: IpAddr) -> (SocketAddr, SocketAddr, Seen, Vec<u8>) {
    let field = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    assert_eq!(usize::from(field(4)), udp.len(), "UDP length");
    let pseudo = pseudo_header(source, destination, field(4));
    let seen = match field(6) {
        0 => Seen::Zero,
        _ if sum(&[&pseudo[..], udp].concat()) == 0xffff => Seen::Right,
        _ => Seen::Wrong,
    };
    (SocketAddr::new(source, field(0)), SocketAddr::new(destination, field(2)), seen, udp[8..].to_vec())
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: u16) -> Vec<u8> {
    let mut pseudo = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => pseudo.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => pseudo.extend_from_slice(&address.octets()),
        }
    }
    pseudo.extend_from_slice(&[0, 17]);
    pseudo.extend_from_slice(&length.to_be_bytes());
    pseudo
}

/// One's complement sum of big-endian words, folded.
fn sum(octets: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in octets.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// ChannelData (RFC 8656 section 12.4).
pub fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut message = channel.to_be_bytes().to_vec();
    message.extend_from_slice(&(data.len() as u16).to_be_bytes());
    message.extend_from_slice(data);
    message
}

/// An RTP packet with `octets` octets of payload.
pub fn rtp(sequence: u16, octets: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&0xdead_beef_u32.to_be_bytes());
    packet.extend((0..octets).map(|index| index as u8 ^ sequence as u8));
    packet
}
