//! Streams among other things.

use super::*;

/// What puts a packet into a frame.
type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

fn ethernet(ether_type: u16, rest: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ether_type.to_be_bytes(), rest].concat()
}

fn read(link: u16, frame: impl Fn(&[u8]) -> Vec<u8>) -> Result<Capture, CaptureError> {
    let frames: Vec<_> = packets("opus", 12).iter().map(|(at, octets)| (*at, frame(octets))).collect();
    Capture::read(&pcap(link, &frames))
}

#[test]
fn every_link_type_leads_to_the_datagram() {
    let v6 = |octets: &[u8]| ip("[2001:db8::1]:5000", "[2001:db8::2]:5002", octets);
    let vlan = |octets: &[u8]| [&[0, 7, 8, 0][..], &there(octets)].concat();
    let cooked = |octets: &[u8]| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &there(octets)].concat();
    let cooked_2 = |octets: &[u8]| [&[0x86, 0xdd][..], &[0; 18], &v6(octets)].concat();
    let (four, six) = ("10.0.0.2:5002", "[2001:db8::2]:5002");
    let frames: [(u16, &str, Wrap); 12] = [
        (ETHERNET, four, &|octets| ethernet(0x0800, &there(octets))),
        (ETHERNET, six, &|octets| ethernet(0x86dd, &v6(octets))),
        (ETHERNET, four, &|octets| ethernet(0x8100, &vlan(octets))),
        (ETHERNET, four, &|octets| ethernet(0x88a8, &[&[0, 9, 0x81, 0][..], &vlan(octets)].concat())),
        (ETHERNET, four, &|octets| [ethernet(0x0800, &there(octets)), vec![0; 7]].concat()),
        (RAW, four, &there),
        (228, four, &there),
        (229, six, &v6),
        (0, four, &|octets| [&[2, 0, 0, 0][..], &there(octets)].concat()),
        (108, six, &|octets| [&[0, 0, 0, 24][..], &v6(octets)].concat()),
        (113, four, &cooked),
        (276, six, &cooked_2),
    ];
    for (n, (link, destination, frame)) in frames.into_iter().enumerate() {
        let capture = read(link, frame).unwrap_or_else(|error| panic!("{n}: {error}"));
        assert_eq!(capture.streams.len(), 1, "{n}");
        let stream = &capture.streams[0];
        assert_eq!((stream.packets(), stream.destination, stream.source.port()), (12, address(destination), 5_000));
        assert_eq!((stream.ssrc, stream.payload_type), (0xaabb_ccdd, 111));
    }
}

#[test]
fn rtp_in_channel_data_is_found() {
    let capture = read(RAW, |octets| {
        let length = (octets.len() as u16).to_be_bytes();
        there(&[&[0x40, 1][..], &length, octets, &[0; 3]].concat())
    });
    let stream = Arc::clone(&capture.unwrap().streams[0]);
    assert_eq!((stream.packets(), stream.packet_octets(3)), (12, &packets("opus", 12)[3].1[..]));
}

#[test]
fn what_is_no_rtp_is_counted_and_not_taken() {
    let mut frames: Vec<_> = packets("pcmu", 12).iter().map(|(at, octets)| (*at, there(octets))).collect();
    let mut fragment = there(&[0x80; 100]);
    fragment[6] = 0x20;
    let mut tcp = there(&[0x80; 100]);
    (tcp[9], tcp[32]) = (6, 0x50);
    let rtcp = there(&[0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    // The identity of what looks like RTP differs each time, or its numbers do not go on.
    for n in 0..20u32 {
        let mut stranger = vec![0x80; 40];
        stranger[8..12].copy_from_slice(&n.to_be_bytes());
        let mut jumping = vec![0x80; 40];
        jumping[2..4].copy_from_slice(&((n * 7_919) as u16).to_be_bytes());
        frames.extend([stranger, jumping, vec![0; 20]].map(|payload| (0, there(&payload))));
    }
    frames.extend([(0, fragment), (0, tcp), (0, rtcp), (0, vec![0x45, 0, 0])]);
    // Always the same packet.
    let mut same = packets("pcmu", 1).remove(0).1;
    same[8] ^= 1;
    frames.extend(std::iter::repeat_n((0, there(&same)), 20));
    let capture = Capture::read(&pcap(RAW, &frames)).unwrap();
    assert_eq!((capture.streams.len(), capture.streams[0].packets()), (1, 12));
    assert_eq!(capture.others, Others { datagrams: 81, cut: 1, fragments: 1, protocols: 1, links: 0 });
}

#[test]
fn streams_are_told_apart_by_addresses_and_ssrc() {
    let mut frames = Vec::new();
    for (at, octets) in packets("pcmu", 20) {
        let mut other = octets.clone();
        other[11] ^= 1;
        frames.push((at + 7, there(&other)));
        frames.push((at, there(&octets)));
        frames.push((at + 3, ip("10.0.0.2:5002", "10.0.0.1:5000", &octets)));
    }
    let capture = Capture::read(&pcap(RAW, &frames)).unwrap();
    let begins: Vec<_> = capture.streams.iter().map(|stream| stream.begin().as_nanos()).collect();
    assert_eq!(begins, [0, 3, 7]);
    assert_eq!(capture.streams[1].destination, address("10.0.0.1:5000"));
}

#[test]
fn what_happened_before_the_capture_is_mended_and_counted() {
    let mut seen = packets("pcmu", 100);
    seen.remove(50);
    let twice = seen[20].clone();
    seen.insert(23, twice);
    seen.swap(70, 71);
    let (earlier, later) = (seen[70].0, seen[71].0);
    (seen[70].0, seen[71].0) = (later, earlier);
    let stream = Arc::clone(&capture(&seen).streams[0]);
    assert_eq!((stream.packets(), stream.flaws), (99, Flaws { lost: 1, duplicated: 1, reordered: 1 }));
    let timestamps: Vec<_> = (0..99).map(|number| stream.view(number).timestamp()).collect();
    assert!(timestamps.is_sorted_by(|one, other| other.wrapping_sub(*one) as i32 > 0));
    assert!(stream.packets.is_sorted_by_key(|packet| packet.offset_ns));
}

#[test]
fn sequence_numbers_may_go_round() {
    let mut seen = packets("pcmu", 40);
    for (n, (_, octets)) in seen.iter_mut().enumerate() {
        octets[2..4].copy_from_slice(&(65_520u16.wrapping_add(n as u16)).to_be_bytes());
    }
    assert_eq!(capture(&seen).streams[0].flaws, Flaws::default());
}

#[test]
fn the_clock_is_known_from_the_payload_type_or_measured() {
    for (profile, clock) in
        [("pcmu", 8_000), ("opus:dtx=on", 48_000), ("vp8", 90_000), ("av1:bitrate=5M", 90_000), ("pcmu:pt=99", 8_000)]
    {
        let capture = capture(&packets(profile, 203));
        assert_eq!(capture.streams[0].clock_rate, Some(clock), "{profile}");
    }
    // A tenth of a second: what the last frame is spread over counts for nothing.
    assert_eq!(capture(&packets("vp8", 40)).streams[0].clock_rate, Some(90_000));
    let mut odd = packets("opus", 100);
    odd.iter_mut().for_each(|(_, octets)| octets[4..8].fill(0));
    assert_eq!(capture(&odd).streams[0].clock_rate, None);
}

#[test]
fn rates_are_those_of_the_recording() {
    let capture = capture(&packets("pcmu", 101));
    let stream = &capture.streams[0];
    assert_eq!((stream.packets_per_second().round(), stream.bits_per_second().round()), (50.0, 68_800.0));
    assert_eq!((stream.packet_max(), stream.encoding), (172, Some("PCMU")));
    assert_eq!((stream.end(), capture.period()), (Duration::from_secs(2), Duration::from_millis(2_020)));
}
