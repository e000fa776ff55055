//! Fuzz entry.

use crate::descriptor::{Reader, Rewrite};
use crate::extension::{Extension, ExtensionIds, ExtensionWriter, Extensions, elements};
use crate::header::{Header, edit};
use crate::limits::ELEMENT_MAX;
use crate::{av1, h264, red, rtcp, rtx, vp8, vp9};

/// Octets that a test packet may have.
const ROOM: usize = 2048;

/// Packets, payloads, descriptors and RTCP of any content.
///
/// The first octet chooses what the rest is taken for. Whatever comes: places that are read lie inside, what is written is
/// read again, and nothing panics.
pub fn fuzz(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    match choice % 4 {
        0 => packet(rest),
        1 => payload(rest),
        2 => descriptors(rest),
        _ => feedback(rest),
    }
}

fn packet(octets: &[u8]) {
    let Some(header) = Header::read(octets) else { return };
    assert!(header.payload.end() <= octets.len() && header.extension.end() <= header.payload.start());
    let ids = Extension::ALL.into_iter().zip(1..).fold(ExtensionIds::default(), |ids, (kind, id)| ids.with(kind, id));
    let found = Extensions::read(octets, &header, &ids);
    assert!(Extension::ALL.into_iter().all(|kind| found.span(kind).end() <= header.extension.end()));
    let mut writer = ExtensionWriter::default();
    for (id, span) in elements(octets, &header).take(8) {
        assert!(span.start() > header.extension.start() && span.end() <= header.extension.end());
        writer.push(Some(id), span.of(octets));
    }
    let _ = writer.write(&mut [0; ROOM]);
    let mut buffer = [0; ROOM];
    let Some(place) = buffer.get_mut(rtx::ORIGINAL..rtx::ORIGINAL + octets.len()) else { return };
    place.copy_from_slice(octets);
    edit::timestamp(place, 5);
    let wrapped = rtx::wrap(&mut buffer, octets.len(), 1, 97, 3).expect("it is a packet");
    let original = rtx::unwrap(&mut buffer[..wrapped], header.ssrc, header.payload_type).expect("was wrapped");
    let again = Header::read(&buffer[original..wrapped]).expect("still RTP");
    assert_eq!(again, Header { timestamp: 5, ..header });
}

fn payload(octets: &[u8]) {
    if let Some(read) = vp8::Vp8::read(octets) {
        assert!(usize::from(read.length) < octets.len());
        assert!(read.picture.is_none_or(|picture| picture.fit(picture.value) == picture.value));
    }
    if let Some(read) = vp9::Vp9::read(octets) {
        assert!(usize::from(read.length) <= octets.len());
    }
    let _ = (h264::H264::read(octets), av1::Av1::read(octets));
    if let Some(blocks) = red::blocks(octets) {
        blocks.for_each(|block| assert!(block.data.end() <= octets.len()));
    }
}

/// An octet `n`, then a descriptor of `n` octets; and so on.
fn descriptors(mut octets: &[u8]) {
    let mut reader = Reader::default();
    let mut copy = Reader::default();
    while let [length, rest @ ..] = octets {
        let (data, next) = rest.split_at(usize::from(*length).min(rest.len()));
        octets = next;
        let Ok(read) = reader.read(data, true) else { continue };
        let targets = reader.structure().expect("read by one").targets();
        let rewrite = Rewrite { number: 77, template: 9, active: Some((reader.active(), targets)) };
        let mut out = [0; ELEMENT_MAX];
        let Some(length) = rewrite.write(data, read.layout, &mut out) else { continue };
        if let Ok(again) = copy.read(&out[..length], true) {
            assert_eq!(again.number, read.number.wrapping_add(77));
            assert_eq!(again.template, (read.template + 9) % 64);
        }
    }
}

fn feedback(octets: &[u8]) {
    for packet in rtcp::packets(octets) {
        assert!(packet.report_blocks().count() <= 31 && packet.goodbyes().count() <= 31);
        let _ = (packet.sender_info(), packet.remb().map(|remb| remb.sources().count()));
        let _ = packet.full_intra_requests().count();
        let mut buffer = [0; ROOM];
        let mut compound = rtcp::Compound::new(&mut buffer);
        if compound.nack(1, 2, packet.nacks()).is_some() {
            let length = compound.length();
            let again = rtcp::packets(&buffer[..length]).next().expect("written");
            assert!(again.nacks().eq(packet.nacks()));
        }
    }
}
