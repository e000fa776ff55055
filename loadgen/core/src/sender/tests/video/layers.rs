//! Temporal layers, as a forwarder reads them to drop the higher ones.

use super::*;

/// A dependency descriptor (RTP Payload Format For AV1, appendix A.8).
#[derive(Debug)]
struct Descriptor {
    first: bool,
    last: bool,
    template: usize,
    frame: u16,
    structure: Option<Vec<Template>>,
}

/// A template of a structure.
#[derive(Clone, Debug, Default)]
struct Template {
    layer: u32,
    /// For each decode target: 0 is not there, 1 discardable, 2 switch, 3 required.
    indications: Vec<u32>,
    needs: Vec<u32>,
    chain: u32,
}

impl Reader<'_> {
    fn bits(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |value, _| value << 1 | self.bit())
    }

    /// AV1 section 4.10.7.
    fn ns(&mut self, count: u32) -> u32 {
        let bits = count.ilog2() + 1;
        let short = (1 << bits) - count;
        let value = self.bits(bits - 1);
        if value < short { value } else { (value << 1) - short + self.bits(1) }
    }
}

fn descriptor(packet: &Packet) -> Descriptor {
    let (_, octets) = packet.extensions.iter().find(|(id, _)| *id == 12).expect("a descriptor");
    let mut bits = Reader { octets, at: 0 };
    let (first, last) = (bits.bit() == 1, bits.bit() == 1);
    let (template, frame) = (bits.bits(6) as usize, bits.bits(16) as u16);
    let structure = (octets.len() > 3).then(|| structure(&mut bits));
    assert!(octets.len() * 8 - bits.at < 8, "no more octets than it takes");
    Descriptor { first, last, template, frame, structure }
}

fn structure(bits: &mut Reader<'_>) -> Vec<Template> {
    assert_eq!(bits.bits(5), 0b1_0000, "a structure and nothing custom");
    assert_eq!(bits.bits(6), 0, "templates begin at 0");
    let targets = bits.bits(5) + 1;
    let mut templates = vec![Template::default()];
    loop {
        let layer = templates.last().unwrap().layer;
        match bits.bits(2) {
            3 => break,
            more @ (0 | 1) => templates.push(Template { layer: layer + more, ..Template::default() }),
            _ => panic!("a spatial layer"),
        }
    }
    for template in &mut templates {
        template.indications = (0..targets).map(|_| bits.bits(2)).collect();
    }
    for template in &mut templates {
        while bits.bit() == 1 {
            template.needs.push(bits.bits(4) + 1);
        }
    }
    assert_eq!(bits.ns(targets + 1), 1, "one chain");
    (0..targets).for_each(|_| assert_eq!(bits.ns(1), 0));
    for template in &mut templates {
        template.chain = bits.bits(4);
    }
    assert_eq!(bits.bit(), 0, "no resolutions");
    templates
}

#[test]
fn each_decode_target_of_a_descriptor_is_complete_without_the_higher_layers() {
    for layers in 1..=3_u32 {
        let mut sender = sender(&format!("av1:temporal={layers},keyframe=1s"));
        let frames = frames(&mut sender, 90);
        let templates = descriptor(&frames[0][0]).structure.expect("the first frame has one");
        let described: Vec<_> = frames.iter().map(|frame| descriptor(&frame[0])).collect();
        for target in 0..layers as usize {
            let kept = |number: usize| templates[described[number].template].indications[target] != 0;
            for number in (0..frames.len()).filter(|number| kept(*number)) {
                let template = &templates[described[number].template];
                assert!(template.layer as usize <= target);
                assert_eq!(template.needs.is_empty(), number % 30 == 0, "a key frame needs none");
                assert!(template.needs.iter().all(|back| kept(number - *back as usize)), "{layers} {target} {number}");
            }
            let share = (0..frames.len()).filter(|number| kept(*number)).count() as f64 / 90.0;
            assert!((share * f64::from(1 << (layers - 1)) / f64::from(1 << target) - 1.0).abs() < 0.1, "{share}");
        }
    }
}

#[test]
fn a_structure_comes_with_the_first_packet_of_each_key_frame() {
    let mut sender = sender("av1:temporal=3,keyframe=off");
    let mut all = frames(&mut sender, 20);
    sender.request_key_frame();
    all.extend(frames(&mut sender, 20));
    let first = descriptor(&all[0][0]).frame;
    for (number, frame) in (0..).zip(&all) {
        for (place, packet) in frame.iter().enumerate() {
            let found = descriptor(packet);
            assert_eq!((found.first, found.last), (place == 0, place + 1 == frame.len()));
            assert_eq!(found.frame, first.wrapping_add(number), "one number for a frame");
            assert_eq!(found.structure.is_some(), place == 0 && (number == 0 || number == 20), "{number} {place}");
        }
    }
}

#[test]
fn vp8_says_which_layer_a_frame_is_of() {
    let frames = frames(&mut sender("vp8:temporal=3,keyframe=1s"), 70);
    let base = frames[0][0].payload[4];
    let mut expected_base = base.wrapping_sub(1);
    for (number, frame) in frames.iter().enumerate() {
        // From each key frame: layer, needs the base alone, no one needs it.
        let (layer, sync, discardable) = [(0, 0, 0), (2, 1, 1), (1, 1, 0), (2, 0, 1)][number % 30 % 4];
        expected_base = expected_base.wrapping_add(u8::from(layer == 0));
        for packet in frame {
            assert_eq!(packet.payload[0] >> 5 & 1, discardable, "N of frame {number}");
            assert_eq!(packet.payload[4], expected_base, "TL0PICIDX of frame {number}");
            assert_eq!(packet.payload[5], layer << 6 | sync << 5, "TID and Y of frame {number}");
        }
    }
}

#[test]
fn frame_marking_says_the_same_of_h264_and_slices_that_nobody_needs_have_no_importance() {
    let frames =
        frames(&mut sender("h264:temporal=2,keyframe=1s,frame-marking=5,transport-cc=off,abs-send-time=off"), 40);
    let base = frames[0][0].extensions[0].1[2];
    for (number, frame) in frames.iter().enumerate() {
        let (key, higher) = (number % 30 == 0, number % 30 % 2);
        for (place, packet) in frame.iter().enumerate() {
            let flags = [place == 0, place + 1 == frame.len(), key, higher == 1, higher == 1];
            let flags = flags.into_iter().fold(0, |octet, flag| octet << 1 | u8::from(flag));
            let expected = vec![flags << 3 | higher as u8, 0, base.wrapping_add(number as u8 / 2)];
            assert_eq!(packet.extensions, [(5, expected)], "{number} {place}");
            assert_eq!(packet.payload[0] & 0x60 == 0, higher == 1, "{number}");
        }
    }
}

#[test]
fn layers_have_their_shares_of_a_bit_rate_that_stays_the_same() {
    let octets = |codec: &str, frames: &[Frame], of: fn(usize) -> bool| -> f64 {
        let wholes = frames.iter().enumerate().filter(|(number, _)| of(*number)).map(|(_, frame)| whole(codec, frame));
        wholes.map(|whole| whole.octets as f64).sum()
    };
    for (codec, profile) in [("h264", "h264:temporal=3,keyframe=off"), ("av1", "av1:temporal=3,keyframe=off")] {
        let frames = frames(&mut sender(profile), 1_201);
        let all = octets(codec, &frames[1..], |_| true);
        assert!((all * 8.0 / 40.0 / 1_500_000.0 - 1.0).abs() < 0.02, "{codec}: {all}");
        let base = octets(codec, &frames[1..], |number| number % 4 == 3) / all;
        assert!((base - 0.4).abs() < 0.02, "{codec}: {base}");
    }
}
