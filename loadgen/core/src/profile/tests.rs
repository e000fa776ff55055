use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn profile(text: &str) -> Profile {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn track(text: &str) -> Track {
    profile(text).tracks().remove(0)
}

fn complaint(text: &str) -> String {
    text.parse::<Profile>().expect_err(text).to_string()
}

#[test]
fn every_profile_can_be_had_by_its_name_alone() {
    for name in PROFILES {
        assert_eq!(profile(name).name(), name);
        assert!(profile(name).tracks().iter().all(|track| track.packets_per_second() > 1.0), "{name}");
    }
}

#[test]
fn static_payload_types_and_clocks_are_those_of_rfc_3551() {
    let of = |name| (track(name).encoding, track(name).payload_type, track(name).clock_rate);
    assert_eq!(of("pcmu"), ("PCMU", 0, 8_000));
    assert_eq!(of("pcma"), ("PCMA", 8, 8_000));
    assert_eq!(of("g722"), ("G722", 9, 8_000));
    assert_eq!(of("opus"), ("opus", 111, 48_000));
    assert_eq!(track("telephone-event").event_payload_type(), Some(101));
}

#[test]
fn g711_is_172_octets_fifty_times_a_second() {
    let track = track("pcmu");
    assert_eq!((track.interval(), track.packet_max()), (Duration::from_millis(20), 172));
    assert_eq!((track.packets_per_second(), track.bits_per_second()), (50.0, 68_800.0));
}

#[test]
fn the_size_of_constant_is_that_of_the_packet_with_its_header_extensions() {
    assert_eq!(track("constant:size=200,pps=10").packet_max(), 200);
    assert_eq!(track("constant:size=200,pps=10,mid=4").packet_max(), 200);
    assert_eq!(track("constant:size=52,mid=4").packet_max(), 52);
    let expected = "size=51 is not possible for profile constant: size is a whole number from 52 to 8972 with these \
                    header extensions";
    assert_eq!(complaint("constant:size=51,mid=4"), expected);
}

#[test]
fn simulcast_is_three_layers_of_one_media_section() {
    let tracks = profile("simulcast").tracks();
    let rids: Vec<_> = tracks.iter().map(|track| track.rid.unwrap().to_string()).collect();
    assert_eq!(rids, ["q", "h", "f"]);
    assert!(tracks.iter().all(|track| track.mid == tracks[0].mid && track.encoding == "VP8"));
    let bits = |n: usize| tracks[n].bits_per_second();
    assert!(bits(0) * 2.5 < bits(1) && bits(1) * 2.5 < bits(2));
}

#[test]
fn video_has_a_bit_rate_that_leaves_room_for_stamps() {
    let expected = "bitrate=1k is not possible for profile vp8: bitrate is a whole number from 19200 to 50000000";
    assert_eq!(complaint("vp8:bitrate=1k"), expected);
    assert_eq!(
        complaint("simulcast:codec=h265"),
        "codec=h265 is not possible for profile simulcast: codec is vp8, h264 or av1"
    );
    assert_eq!(
        complaint("av1:keyframe=1"),
        "keyframe=1 is not possible for profile av1: keyframe is a time from 100ms to 600000ms, or `off`"
    );
}

#[test]
fn numbers_may_end_in_thousands_and_millions_and_times_in_their_unit() {
    assert_eq!(profile("constant:pps=2k"), profile("constant:pps=2000"));
    assert_eq!(profile("constant:pps=1M"), profile("constant:pps=1000000"));
    assert_eq!(profile("telephone-event:every=2s"), profile("telephone-event:every=2000ms"));
}

#[test]
fn complaints_say_what_would_be_right() {
    assert_eq!(
        complaint("g729"),
        "no profile is called `g729`; there are pcmu, pcma, g722, opus, telephone-event, vp8, h264, av1, simulcast, \
         constant"
    );
    assert_eq!(
        complaint("opus:bitrat=1"),
        "profile opus has no option `bitrat`; it has bitrate, dtx, pt, audio-level, abs-send-time, transport-cc, mid, rid"
    );
    assert_eq!(
        complaint("opus:bitrate=8k"),
        "bitrate=8k is not possible for profile opus: bitrate is a whole number from 16000 to 510000"
    );
    assert_eq!(
        complaint("pcmu:ptime=20"),
        "ptime=20 is not possible for profile pcmu: ptime is a time from 10ms to 120ms"
    );
    assert_eq!(
        complaint("pcmu:pt=72"),
        "pt=72 is not possible for profile pcmu: pt is a whole number from 0 to 63 or from 96 to 127"
    );
    assert_eq!(complaint("opus:dtx=yes"), "dtx=yes is not possible for profile opus: dtx is `on` or `off`");
    assert_eq!(complaint("opus:dtx"), "option `dtx` has no value: write dtx=VALUE");
    assert_eq!(complaint("pcmu:pt=0,pt=1"), "option `pt` is given twice");
    assert_eq!(
        complaint("vp8:temporal=4"),
        "temporal=4 is not possible for profile vp8: temporal is a whole number from 1 to 3"
    );
    assert_eq!(
        complaint("pcmu:descriptor=3"),
        "profile pcmu has no option `descriptor`; it has ptime, pt, audio-level, abs-send-time, transport-cc, mid, rid"
    );
    assert_eq!(complaint("av1:mid=12"), "two header extensions have the identifier 12; each needs its own");
    assert_eq!(complaint("pcmu:mid=3,rid=3"), "two header extensions have the identifier 3; each needs its own");
}

#[test]
fn a_profile_shows_as_the_text_it_can_be_read_from() {
    assert_eq!(profile("pcmu").to_string(), "pcmu:ptime=20ms");
    let text = "simulcast:codec=vp8,bitrate=2500000,fps=30,keyframe=off";
    assert_eq!(profile("simulcast:keyframe=off").to_string(), text);
    assert_eq!(profile("simulcast:keyframe=off,rid=off").to_string(), format!("{text},rid=off"));
    let text = "av1:bitrate=1500000,fps=30,keyframe=10000ms,temporal=3,frame-marking=6,descriptor=off";
    assert_eq!(profile("av1:temporal=3,descriptor=off,frame-marking=6").to_string(), text);
    assert_eq!(profile("opus: dtx=on ,pt=96, mid=4").to_string(), "opus:bitrate=32000,dtx=on,pt=96,mid=4");
}

proptest! {
    #[test]
    fn no_text_panics(text in "(pcmu|opus|constant|telephone-event|x):?([a-z-]{1,8}=?[0-9a-z]{0,9},?){0,4}") {
        let _ = text.parse::<Profile>();
    }

    #[test]
    fn what_is_shown_reads_back_the_same(
        name in prop::sample::select(PROFILES.to_vec()),
        payload_type in 96..=127u8,
        ids in prop::sample::subsequence((1..=14u8).collect::<Vec<_>>(), 4),
    ) {
        let [level, time, mid, rid] = ids[..] else { unreachable!("four of fourteen") };
        let mut extensions = format!("audio-level={level},abs-send-time={time},transport-cc=off,mid={mid},rid={rid}");
        if ["vp8", "h264", "av1", "simulcast"].contains(&name) {
            extensions += ",temporal=2,descriptor=off";
        }
        let text = format!("{name}:pt={payload_type},{extensions}");
        prop_assert_eq!(profile(&profile(&text).to_string()), profile(&text));
    }
}
