//! Frames of a pcap or pcapng file.

use pcap_parser::nom::Err as NomError;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, InterfaceDescriptionBlock, LegacyPcapBlock, PcapError, PcapHeader, SectionHeaderBlock, parse_block_be,
    parse_block_le, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
    parse_sectionheaderblock,
};

/// A frame as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// What the octets begin with (<https://www.tcpdump.org/linktypes.html>).
    pub(super) link: i32,
    /// When, nanoseconds since 1970.
    pub(super) at_ns: u64,
    pub(super) octets: &'a [u8],
    /// It was longer than what was captured of it.
    pub(super) cut: bool,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// In the middle of something, or with something that cannot be read, so many octets from its beginning.
    BreaksOff(usize),
}

type Parsed<'a, T> = Result<(&'a [u8], T), NomError<PcapError<&'a [u8]>>>;

/// Hands the frames of `file` to `each`, in their order; `None` if it is no capture.
pub(super) fn frames<'a>(file: &'a [u8], each: impl FnMut(Frame<'a>)) -> Option<End> {
    if let Ok((_, section)) = parse_sectionheaderblock(file) {
        return Some(blocks(file, &section, each));
    }
    let (rest, header) = parse_pcap_header(file).ok()?;
    Some(records(file, rest, &header, each))
}

/// The records of a pcap file.
fn records<'a>(file: &'a [u8], rest: &'a [u8], header: &PcapHeader, mut each: impl FnMut(Frame<'a>)) -> End {
    let parse: fn(&'a [u8]) -> Parsed<'a, LegacyPcapBlock<'a>> = if header.is_modified_format() {
        parse_pcap_frame_modified
    } else if header.is_bigendian() {
        parse_pcap_frame_be
    } else {
        parse_pcap_frame
    };
    let unit_ns = if header.is_nanosecond_precision() { 1 } else { 1_000 };
    // The upper bits say how long the frame check sequence is.
    let link = header.network.0 & 0xffff;
    walk(file, rest, parse, |record| {
        let at_ns = u64::from(record.ts_sec) * 1_000_000_000 + u64::from(record.ts_usec) * unit_ns;
        each(Frame { link, at_ns, octets: record.data, cut: record.caplen < record.origlen });
    })
}

/// The blocks of a pcapng file.
fn blocks<'a>(file: &'a [u8], section: &SectionHeaderBlock<'_>, mut each: impl FnMut(Frame<'a>)) -> End {
    let mut big_endian = section.big_endian();
    let mut interfaces: Vec<Interface> = Vec::new();
    let (mut rest, mut end) = (file, End::Whole);
    // Each section has an order of octets and interfaces of its own.
    while !rest.is_empty() {
        let parse = if big_endian { parse_block_be } else { parse_block_le };
        let Ok((next, block)) = parse(rest) else {
            end = End::BreaksOff(file.len() - rest.len());
            break;
        };
        rest = next;
        match block {
            Block::SectionHeader(section) => {
                big_endian = section.big_endian();
                interfaces.clear();
            }
            Block::InterfaceDescription(interface) => interfaces.push(Interface::new(&interface)),
            Block::EnhancedPacket(packet) => {
                let Some(interface) = interfaces.get(packet.if_id as usize) else { continue };
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let (at_ns, cut) = (interface.at_ns(ticks), packet.truncated());
                let octets = &packet.data[..packet.data.len().min(packet.caplen as usize)];
                each(Frame { link: interface.link, at_ns, octets, cut });
            }
            // A simple packet has no time.
            _ => {}
        }
    }
    end
}

/// Where frames of a pcapng file come from.
struct Interface {
    link: i32,
    /// Ticks a second.
    resolution: u64,
    offset_s: i64,
}

impl Interface {
    fn new(block: &InterfaceDescriptionBlock<'_>) -> Self {
        // A power of ten, or of two if the highest bit is set; one that is out of range is taken as microseconds.
        let (base, exponent) =
            if block.if_tsresol & 0x80 == 0 { (10, block.if_tsresol) } else { (2, block.if_tsresol & 0x7f) };
        let resolution = u64::checked_pow(base, u32::from(exponent)).unwrap_or(1_000_000);
        Self { link: block.linktype.0, resolution, offset_s: block.if_tsoffset }
    }

    fn at_ns(&self, ticks: u64) -> u64 {
        let ns = u128::from(ticks) * 1_000_000_000 / u128::from(self.resolution);
        let offset_ns = i128::from(self.offset_s) * 1_000_000_000;
        u64::try_from(ns as i128 + offset_ns).unwrap_or(0)
    }
}

/// Parses one thing after the other.
fn walk<'a, T>(
    file: &'a [u8],
    mut rest: &'a [u8],
    parse: fn(&'a [u8]) -> Parsed<'a, T>,
    mut each: impl FnMut(T),
) -> End {
    while !rest.is_empty() {
        let Ok((next, parsed)) = parse(rest) else { return End::BreaksOff(file.len() - rest.len()) };
        each(parsed);
        rest = next;
    }
    End::Whole
}
