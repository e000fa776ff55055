//! What is in a capture.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{OptionCode, PcapBlockOwned, PcapNGReader, traits::PcapReaderIterator};
use raceway_recording::{PACKET_MAX, Packet, Part};
use raceway_units::Instant;

use super::reader::{decrypt, public_key};
use super::{EPOCH_NS, beginning, endpoint, packet, part, secrets};

/// One block of each kind that matters, and the packets: time in nanoseconds, octets, true length.
#[derive(Default)]
struct Capture {
    comment: String,
    packets: Vec<(u64, Vec<u8>, usize)>,
    statistics: Option<(u64, u64)>,
}

fn read(octets: &[u8]) -> Capture {
    let mut reader = PcapNGReader::new(1 << 20, octets).expect("a section");
    let mut capture = Capture::default();
    while let Ok((offset, block)) = reader.next() {
        let PcapBlockOwned::NG(block) = block else { panic!("pcapng") };
        match block {
            Block::SectionHeader(section) => {
                let comment = section.options.iter().find(|option| option.code == OptionCode::Comment);
                capture.comment =
                    String::from_utf8(comment.expect("a note").as_bytes().expect("text").to_vec()).expect("UTF-8");
            }
            Block::InterfaceDescription(interface) => {
                assert_eq!((interface.linktype.0, interface.if_tsresol), (101, 9));
            }
            Block::EnhancedPacket(packet) => {
                let ns = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let data = packet.packet_data()[..packet.caplen as usize].to_vec();
                capture.packets.push((ns, data, packet.origlen as usize));
            }
            Block::InterfaceStatistics(statistics) => {
                let of = |code: u16| {
                    let option = statistics.options.iter().find(|option| option.code == OptionCode(code));
                    let value = &option.expect("an option").value;
                    u64::from_le_bytes(value[..8].try_into().expect("8 octets"))
                };
                capture.statistics = Some((of(4), of(5)));
            }
            Block::Unknown(_) => {}
            other => panic!("{other:?}"),
        }
        reader.consume(offset);
    }
    capture
}

#[test]
fn every_packet_is_there_with_its_time_and_the_true_addresses() {
    let ended = part(&public_key(), 3000, 0);
    let capture = read(&decrypt(&ended.key, &ended.body).0);
    assert_eq!(capture.comment, "a note");
    assert_eq!(capture.packets.len(), 3000);
    for (n, (ns, octets, length)) in capture.packets.iter().enumerate() {
        assert_eq!((*ns, *length), (EPOCH_NS + n as u64 * 20_000_000, octets.len()));
        let sliced = SlicedPacket::from_ip(octets).expect("an IP datagram");
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("IPv4") };
        let header = ip.header();
        assert_eq!(header.source_addr().to_string(), "192.0.2.7");
        assert_eq!(header.destination_addr().to_string(), "198.51.100.1");
        assert_eq!(header.dcp().value(), 46);
        let Some(TransportSlice::Udp(udp)) = &sliced.transport else { panic!("UDP") };
        assert_eq!((udp.source_port(), udp.destination_port()), (40000, 30000));
        assert_eq!(udp.payload(), [n as u8; 172]);
        let right = udp.to_header().calc_checksum_ipv4(&header.to_header(), udp.payload());
        assert_eq!(
            (udp.checksum(), header.header_checksum()),
            (right.expect("short"), header.to_header().calc_header_checksum())
        );
    }
    assert_eq!(capture.statistics, Some((3000, 0)));
}

#[test]
fn what_is_missing_is_said_at_the_end() {
    let ended = part(&public_key(), 10, 7);
    assert_eq!(read(&decrypt(&ended.key, &ended.body).0).statistics, Some((17, 7)));
}

#[test]
fn padding_between_packets_is_nothing_to_a_reader() {
    let (mut part, key) = Part::begin(&public_key(), &secrets(1), &beginning("")).expect("a key");
    let mut body = Vec::new();
    for n in 0..5 {
        part.packet(&packet(n, &[n as u8; 160]), &mut body);
        part.flush(&mut body);
    }
    part.finish(Instant::from_ns(6_000_000_000), 0, &mut body);
    assert_eq!(read(&decrypt(&key, &body).0).packets.len(), 5);
}

#[test]
fn of_a_long_datagram_the_beginning_is_there_and_its_length() {
    let (mut part, key) = Part::begin(&public_key(), &secrets(1), &beginning("")).expect("a key");
    let (mut body, payload) = (Vec::new(), vec![5; 9000]);
    part.packet(&packet(0, &payload), &mut body);
    // More than any datagram can have.
    part.packet(&Packet { octets: usize::MAX, ..packet(1, &payload) }, &mut body);
    part.finish(Instant::from_ns(6_000_000_000), 0, &mut body);
    let capture = read(&decrypt(&key, &body).0);
    let lengths: Vec<_> = capture.packets.iter().map(|(_, octets, length)| (octets.len(), *length)).collect();
    assert_eq!(lengths, [(28 + PACKET_MAX, 28 + 9000), (28 + PACKET_MAX, 28 + 65535 - 48)]);
}

#[test]
fn ipv6_is_recorded_as_such() {
    let (mut part, key) = Part::begin(&public_key(), &secrets(1), &beginning("")).expect("a key");
    let mut body = Vec::new();
    let v6 = Packet { from: endpoint("[2001:db8::7]:5000"), to: endpoint("[2001:db8::1]:6000"), ..packet(0, b"rtp") };
    part.packet(&v6, &mut body);
    part.finish(Instant::from_ns(6_000_000_000), 0, &mut body);
    let capture = read(&decrypt(&key, &body).0);
    let sliced = SlicedPacket::from_ip(&capture.packets[0].1).expect("an IP datagram");
    let Some(NetSlice::Ipv6(ip)) = &sliced.net else { panic!("IPv6") };
    assert_eq!(ip.header().source_addr().to_string(), "2001:db8::7");
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else { panic!("UDP") };
    let right = udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload());
    assert_eq!((udp.payload(), udp.checksum()), (&b"rtp"[..], right.expect("short")));
}

#[test]
fn a_note_of_any_length_and_script_is_cut_to_what_fits() {
    let note = "é".repeat(60_000);
    let (part, key) = Part::begin(&public_key(), &secrets(1), &beginning(&note)).expect("a key");
    let mut body = Vec::new();
    part.finish(Instant::from_ns(6_000_000_000), 0, &mut body);
    let capture = read(&decrypt(&key, &body).0);
    assert!(note.starts_with(&capture.comment) && capture.comment.len() == 32 << 10);
}
