//! Structures written bit by bit, as appendix A.8.2 has them.

use std::vec;
use std::vec::Vec;

use super::*;

type Backs = &'static [u8];

/// Two spatial and two temporal layers with references between the spatial ones (as A.10's L2T2), four decode targets, two
/// chains: spatial, temporal, indications, references, chains.
const L2T2: [(u8, u8, &str, Backs, [u8; 2]); 6] = [
    (0, 0, "SSSS", &[], [0, 0]),
    (0, 0, "SSRR", &[4], [4, 3]),
    (0, 1, "-D-R", &[2], [2, 1]),
    (1, 0, "--SS", &[1], [1, 1]),
    (1, 0, "--SS", &[4, 1], [1, 1]),
    (1, 1, "---D", &[2, 1], [3, 2]),
];

fn structure_bits(first: u8, sizes: &[(u32, u32)]) -> Vec<(usize, u32)> {
    let mut bits = vec![(6, first.into()), (5, 3)];
    for pair in L2T2.windows(2) {
        let next = if pair[1].0 > pair[0].0 { 2 } else { u32::from(pair[1].1 - pair[0].1) };
        bits.push((2, next));
    }
    bits.push((2, 3));
    let letters = L2T2.iter().flat_map(|template| template.2.chars());
    bits.extend(letters.map(|letter| (2, "-DSR".find(letter).expect("a letter") as u32)));
    for template in L2T2 {
        template.3.iter().for_each(|back| bits.extend([(1, 1), (4, u32::from(*back) - 1)]));
        bits.push((1, 0));
    }
    // Two chains of at most four: ns(5). Targets 0 and 1 are protected by the first: ns(2).
    bits.extend([(2, 2), (1, 0), (1, 0), (1, 1), (1, 1)]);
    bits.extend(L2T2.iter().flat_map(|template| template.4).map(|chain| (4, chain.into())));
    bits.push((1, u32::from(!sizes.is_empty())));
    sizes.iter().for_each(|(width, height)| bits.extend([(16, width - 1), (16, height - 1)]));
    bits
}

fn write(bits: &[(usize, u32)]) -> Vec<u8> {
    let mut out = [0; ELEMENT_MAX];
    let mut writer = BitWriter::new(&mut out);
    bits.iter().for_each(|(count, value)| writer.put(*count, *value));
    let length = writer.finish().expect("room");
    out[..length].to_vec()
}

/// A packet that is a whole frame.
fn mandatory(template: u8, number: u16) -> Vec<(usize, u32)> {
    vec![(2, 3), (6, template.into()), (16, number.into())]
}

fn key(first: u8, number: u16, sizes: &[(u32, u32)]) -> Vec<u8> {
    write(&[mandatory(first, number), vec![(5, 0b1_0000)], structure_bits(first, sizes)].concat())
}

fn reader() -> Reader {
    let mut reader = Reader::default();
    reader.read(&key(10, 100, &[]), true).expect("a key frame");
    reader
}

#[test]
fn a_key_frame_brings_the_structure() {
    let mut reader = Reader::default();
    let read = reader.read(&key(60, 100, &[(320, 180), (65_536, 1)]), true).expect("whole");
    assert!(read.start && read.end && read.new_structure);
    assert_eq!((read.number, read.template, read.spatial, read.temporal), (100, 60, 0, 0));
    assert_eq!((&read.differences[..], &read.chains[..]), (&[][..], &[0, 0][..]));
    let structure = reader.structure().expect("there");
    let layers: Vec<_> = (0..structure.targets()).map(|target| structure.layers(target)).collect();
    assert_eq!(layers, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!((structure.size(0), structure.size(1), structure.size(2)), (Some((320, 180)), Some((65_536, 1)), None));
    assert_eq!((structure.chain_of(1), structure.chain_of(3), structure.chain_of(4)), (Some(0), Some(1), None));
    assert_eq!(reader.active(), 0b1111);
    let within = |inner, outer| structure.is_within(inner, outer);
    assert!(within(0, 3) && within(1, 3) && within(0, 1) && within(2, 3) && !within(1, 2) && !within(3, 1));
}

#[test]
fn three_octets_name_a_template_also_past_the_last_identifier() {
    let mut reader = Reader::default();
    reader.read(&key(60, 100, &[]), true).expect("a key frame");
    let read = reader.read(&write(&mandatory(1, 107)), true).expect("whole");
    assert_eq!((read.spatial, read.temporal, read.new_structure), (1, 1, false), "60 and five more");
    assert_eq!((&read.differences[..], &read.chains[..]), (&[2, 1][..], &[3, 2][..]));
    let indications: Vec<_> = (0..4).map(|target| read.indications.of(target)).collect();
    let none = Indication::NotPresent;
    assert_eq!(indications, [none, none, none, Indication::Discardable]);
    assert_eq!(reader.read(&write(&mandatory(2, 108)), true), Err(DescriptorError::UnknownTemplate));
}

#[test]
fn a_frame_may_have_everything_of_its_own() {
    let custom = vec![
        (5, 0b0_1111),
        (4, 0b0011),
        (2, 0),
        (2, 1),
        (2, 2),
        (2, 3),
        (2, 1),
        (4, 2),
        (2, 3),
        (12, 999),
        (2, 0),
        (8, 255),
        (8, 7),
    ];
    let mut reader = reader();
    let read = reader.read(&write(&[mandatory(12, 103), custom].concat()), true).expect("whole");
    assert_eq!((&read.differences[..], &read.chains[..]), (&[3, 1_000][..], &[255, 7][..]));
    assert_eq!(read.indications.of(3), Indication::Required);
    assert!(!read.indications.has(0) && read.indications.has(1));
    assert_eq!(reader.active(), 0b0011);
}

#[test]
fn a_late_key_frame_changes_nothing() {
    let mut reader = reader();
    let late = reader.read(&key(30, 90, &[]), false).expect("whole");
    assert!(late.new_structure);
    assert_eq!(reader.structure().expect("there").first_template(), 10);
    assert_eq!(reader.read(&write(&mandatory(30, 91)), false), Err(DescriptorError::UnknownTemplate));
}

#[test]
fn a_packet_that_is_late_over_a_key_frame_is_read_by_the_structure_before() {
    let mut reader = reader();
    reader.read(&key(16, 110, &[]), true).expect("a key frame");
    let late = reader.read(&write(&mandatory(15, 109)), false).expect("of the old structure");
    assert_eq!((late.spatial, late.temporal), (1, 1));
    // The same structure once more does not push the one before out.
    reader.read(&key(16, 120, &[]), true).expect("a key frame");
    assert!(reader.read(&write(&mandatory(15, 109)), false).is_ok());
}

#[test]
fn what_is_cut_short_is_refused_and_changes_nothing() {
    let whole = key(10, 100, &[(320, 180), (640, 360)]);
    for cut in 0..whole.len() {
        let mut reader = Reader::default();
        let expected = if cut == 3 { DescriptorError::UnknownTemplate } else { DescriptorError::Truncated };
        assert_eq!(reader.read(&whole[..cut], true), Err(expected), "{cut}");
        assert_eq!(reader.structure(), None);
    }
}

#[test]
fn more_layers_or_references_than_are_read_are_refused() {
    let layers = [mandatory(0, 1), vec![(5, 0b1_0000), (6, 0), (5, 0)], vec![(2, 1); 8]].concat();
    assert_eq!(Reader::default().read(&write(&layers), true), Err(DescriptorError::TooMany));
    let same = [mandatory(0, 1), vec![(5, 0b1_0000), (6, 0), (5, 0)], vec![(2, 0); 64]].concat();
    assert_eq!(Reader::default().read(&write(&same), true), Err(DescriptorError::TooMany));
    let references = [mandatory(10, 1), vec![(5, 0b0_0010)], [(2, 1), (4, 0)].repeat(9)].concat();
    assert_eq!(reader().read(&write(&references), true), Err(DescriptorError::TooMany));
}

#[test]
fn a_rewritten_descriptor_says_the_same_of_another_frame() {
    let rewrite = Rewrite { number: 0xffff, template: 62, active: Some((0b0101, 4)) };
    let (mut from, mut to) = (Reader::default(), Reader::default());
    let custom = [mandatory(13, 103), vec![(5, 0b0_1110), (4, 15), (8, 0x1b), (2, 2), (8, 99), (2, 0)]].concat();
    for data in [key(10, 100, &[(2, 3), (4, 5)]), write(&mandatory(14, 101)), write(&custom)] {
        let original = from.read(&data, true).expect("whole");
        let mut out = [0; ELEMENT_MAX];
        let length = rewrite.write(&data, original.layout, &mut out).expect("room");
        let mut again = to.read(&out[..length], true).expect("whole");
        assert_eq!((again.number, again.template), (original.number - 1, original.template - 2));
        assert_eq!(to.active(), 0b0101);
        let Descriptor { number, template, layout, .. } = original;
        again = Descriptor { number, template, layout, ..again };
        assert_eq!(again, original);
    }
    let (from, to) = (from.structure().expect("there"), to.structure().expect("there"));
    assert_eq!((to.first_template(), to.templates(), to.size(1)), (8, 6, Some((4, 5))));
    assert_eq!((0..4).map(|target| to.layers(target)).collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!(from.size(1), to.size(1));
}

#[test]
fn a_descriptor_that_says_what_it_said_keeps_its_length() {
    let mut reader = reader();
    let masked = [mandatory(13, 103), vec![(5, 0b0_1000), (4, 0b0110)]].concat();
    for data in [write(&mandatory(11, 7)), write(&masked), key(10, 100, &[])] {
        let layout = reader.read(&data, true).expect("whole").layout;
        let mut out = [0; ELEMENT_MAX];
        let length = Rewrite::default().write(&data, layout, &mut out).expect("room");
        assert_eq!(out[..length], data);
    }
}
