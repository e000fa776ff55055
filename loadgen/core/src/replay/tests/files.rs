//! Files of all kinds that there are.

use super::*;

/// Numbers in one order of octets or the other.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, number: u16) -> Vec<u8> {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }.to_vec()
    }

    fn u32(self, number: u32) -> Vec<u8> {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }.to_vec()
    }

    fn block(self, kind: u32, body: &[Vec<u8>]) -> Vec<u8> {
        let mut body = body.concat();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.u32(body.len() as u32 + 12);
        [self.u32(kind), length.clone(), body, length].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        self.block(0x0a0d_0d0a, &[self.u32(0x1a2b_3c4d), version, self.u32(u32::MAX), self.u32(u32::MAX)])
    }

    fn interface(self, link: u16, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![self.u16(link), self.u16(0), self.u32(0)];
        for (code, value) in options {
            let mut padded = value.clone();
            padded.resize(value.len().next_multiple_of(4), 0);
            body.extend([self.u16(*code), self.u16(value.len() as u16), padded]);
        }
        self.block(1, &body)
    }

    fn packet(self, interface: u32, ticks: u64, octets: &[u8]) -> Vec<u8> {
        let length = self.u32(octets.len() as u32);
        let time = [self.u32((ticks >> 32) as u32), self.u32(ticks as u32)].concat();
        self.block(6, &[self.u32(interface), time, length.clone(), length, octets.to_vec()])
    }
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };

fn offsets(capture: &Capture) -> Vec<u64> {
    capture.streams[0].packets.iter().map(|packet| packet.offset_ns).collect()
}

/// Twelve packets, 20 ms apart.
fn twelve() -> Vec<(u64, Vec<u8>)> {
    packets("pcmu", 12).iter().map(|(at, octets)| (*at, there(octets))).collect()
}

fn is_twelve(file: &[u8], note: &str) {
    let capture = Capture::read(file).unwrap_or_else(|error| panic!("{note}: {error}"));
    assert_eq!(offsets(&capture), (0..12).map(|n| n * 20_000_000).collect::<Vec<_>>(), "{note}");
    assert_eq!(capture.breaks_off_at, None, "{note}");
}

#[test]
fn pcap_of_both_orders_and_all_resolutions_is_read() {
    let mut file = pcap(RAW, &twelve());
    is_twelve(&file, "nanoseconds");
    // Frames have a check sequence of four octets, says the upper half of the link type.
    file[23] = 0x24;
    is_twelve(&file, "with check sequence");
    for (order, note) in [(LITTLE, "little"), (BIG, "big")] {
        for (magic, unit_ns, more) in [(0xa1b2_c3d4, 1_000, 0), (0xa1b2_3c4d, 1, 0), (0xa1b2_cd34, 1_000, 8)] {
            // The modified format is only known in the order of the machines that wrote it.
            if order.big && more > 0 {
                continue;
            }
            let version = [order.u16(2), order.u16(4)].concat();
            let mut file =
                vec![order.u32(magic), version, order.u32(0), order.u32(0), order.u32(65_535), order.u32(101)];
            for (at, octets) in twelve() {
                let (seconds, rest) = ((at / 1_000_000_000) as u32, (at % 1_000_000_000 / unit_ns) as u32);
                file.extend([seconds, rest, octets.len() as u32, octets.len() as u32].map(|number| order.u32(number)));
                file.extend([vec![0; more], octets]);
            }
            is_twelve(&file.concat(), &format!("{magic:x} {note}"));
        }
    }
}

#[test]
fn pcapng_of_both_orders_is_read() {
    for order in [LITTLE, BIG] {
        let mut file = vec![order.section(), order.interface(RAW, &[])];
        file.extend(twelve().iter().map(|(at, octets)| order.packet(0, at / 1_000, octets)));
        is_twelve(&file.concat(), if order.big { "big" } else { "little" });
    }
}

#[test]
fn pcapng_has_resolutions_and_offsets_of_its_interfaces() {
    let per_second: [(u8, u64); 4] = [(3, 1_000), (9, 1_000_000_000), (0x80 | 20, 1 << 20), (0xff, 1_000_000)];
    for (resolution, ticks) in per_second {
        let mut file =
            vec![LITTLE.section(), LITTLE.interface(RAW, &[(9, vec![resolution]), (14, vec![1, 0, 0, 0, 0, 0, 0, 0])])];
        file.extend(twelve().iter().map(|(at, octets)| {
            let at = (u128::from(at - 1_000_000_000) * u128::from(ticks)).div_ceil(1_000_000_000);
            LITTLE.packet(0, at as u64, octets)
        }));
        let capture = Capture::read(&file.concat()).unwrap();
        for (n, offset) in offsets(&capture).into_iter().enumerate() {
            assert!(offset.abs_diff(n as u64 * 20_000_000) <= 1_000_000_000 / ticks + 1, "{resolution:x}: {offset}");
        }
    }
}

#[test]
fn interfaces_whose_clocks_have_an_offset_agree() {
    let offset = |seconds: i64| LITTLE.interface(RAW, &[(14, seconds.to_le_bytes().to_vec())]);
    let mut file = vec![LITTLE.section(), offset(0), offset(10), offset(-10)];
    file.extend(twelve().iter().enumerate().map(|(n, (at, octets))| {
        let ahead = [0, 10, -10][n % 3] * 1_000_000;
        LITTLE.packet(n as u32 % 3, (at / 1_000).strict_sub_signed(ahead), octets)
    }));
    is_twelve(&file.concat(), "offsets");
}

#[test]
fn pcapng_sections_have_their_own_interfaces_and_order() {
    let frames = twelve();
    let mut file = vec![LITTLE.section(), LITTLE.interface(ETHERNET, &[]), LITTLE.interface(RAW, &[])];
    file.extend(frames[..6].iter().map(|(at, octets)| LITTLE.packet(1, at / 1_000, octets)));
    // Name resolution, a simple packet, an unknown block, a packet of no interface.
    file.push(LITTLE.block(4, &[LITTLE.u32(0)]));
    file.push(LITTLE.block(3, &[LITTLE.u32(4), vec![0; 4]]));
    file.push(LITTLE.block(0x0bad, &[vec![0; 8]]));
    file.push(LITTLE.packet(7, 0, &frames[0].1));
    file.extend([BIG.section(), BIG.interface(RAW, &[])]);
    file.extend(frames[6..].iter().map(|(at, octets)| BIG.packet(0, at / 1_000, octets)));
    is_twelve(&file.concat(), "two sections");
}

#[test]
fn a_file_that_breaks_off_is_read_until_there() {
    let file = pcap(RAW, &twelve());
    let record = 16 + twelve()[0].1.len();
    let capture = Capture::read(&file[..file.len() - 1]).unwrap();
    assert_eq!((capture.streams[0].packets(), capture.breaks_off_at), (11, Some(file.len() - record)));
    let mut ng = vec![LITTLE.section(), LITTLE.interface(RAW, &[])];
    ng.extend(twelve().iter().map(|(at, octets)| LITTLE.packet(0, at / 1_000, octets)));
    let whole = ng.concat().len();
    ng.push(vec![6, 0, 0, 0, 0, 0, 0, 0]);
    let capture = Capture::read(&ng.concat()).unwrap();
    assert_eq!((capture.streams[0].packets(), capture.breaks_off_at), (12, Some(whole)));
}

#[test]
fn complaints_say_what_would_help() {
    let complaint = |file: &[u8]| Capture::read(file).unwrap_err().to_string();
    assert_eq!(complaint(b""), "not a pcap or pcapng file");
    assert_eq!(complaint(b"{\"format\": 1}              "), "not a pcap or pcapng file");
    assert_eq!(complaint(&pcap(RAW, &[])), "no RTP stream of 10 packets or more in 0 UDP datagrams");
    assert_eq!(complaint(&pcap(RAW, &twelve()[..9])), "no RTP stream of 10 packets or more in 9 UDP datagrams");
    let wireless = "link type 127 is not read; Ethernet, Linux cooked, raw IP and loopback are";
    assert_eq!(complaint(&pcap(127, &twelve())), wireless);
    let short: Vec<_> = twelve().into_iter().map(|(at, octets)| (at, octets[..60].to_vec())).collect();
    let cut = "all 12 datagrams were captured in part only; capture whole frames (tcpdump -s 0)";
    assert_eq!(complaint(&pcap(RAW, &short)), cut);
    // What was captured of a frame is less than what it was.
    let mut file = pcap(RAW, &twelve());
    let record = 16 + twelve()[0].1.len();
    (0..12).for_each(|n| file[24 + n * record + 12] += 1);
    assert_eq!(complaint(&file), cut);
}
