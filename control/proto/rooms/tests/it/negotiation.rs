//! Offers of a real browser (Chromium 156) and of odd parties, and what is answered.

use core::net::SocketAddr;

use raceway_rooms::Refusal;
use raceway_rooms::TrackId;
use raceway_rooms::negotiation::{Codec, Extension, Format, Offered, Ours, Outgoing, Places, Section};

const PUBLISH: &str = include_str!("../../corpus/publish-chromium.sdp");
const PLAY: &str = include_str!("../../corpus/play-chromium.sdp");

fn ours() -> Ours {
    Ours {
        session: 7,
        version: 1,
        fragment: "ourfrag1".to_owned(),
        password: "ourpasswordourpasswordxx".to_owned(),
        fingerprint: "sha-256 00:11:22".parse().expect("a fingerprint"),
        addresses: vec![SocketAddr::from(([192, 0, 2, 1], 7000)), "[2001:db8::1]:7000".parse().expect("an address")],
    }
}

fn read(text: &str) -> Offered {
    Offered::read(text.as_bytes()).expect("an offer")
}

fn why(text: &str) -> String {
    match Offered::read(text.as_bytes()) {
        Err(refusal @ Refusal::Description(_)) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

fn outgoing(ssrc: u32) -> Outgoing {
    Outgoing { ssrc, rtx_ssrc: Some(ssrc + 1), cname: "alice".to_owned(), msid: "alice track".to_owned() }
}

fn formats(offered: &Offered, at: usize) -> &[Format] {
    match &offered.sections[at] {
        Section::Media(media) => &media.formats,
        refused @ Section::Refused { .. } => panic!("{refused:?}"),
    }
}

#[test]
fn a_browser_that_publishes_gets_one_codec_of_each_track_and_all_its_encodings() {
    let offered = read(PUBLISH);
    let answer = offered.answer_publisher(&ours(), &[Codec::Vp8]).expect("answered");
    let [audio, video] = &answer.accepted[..] else { panic!("{:?}", answer.accepted) };
    assert_eq!((audio.format.codec, audio.format.payload_type, audio.format.red), (Codec::Opus, 111, Some(63)));
    assert_eq!((video.format.codec, video.format.payload_type, video.format.rtx), (Codec::Vp8, 96, Some(97)));
    assert_eq!(video.encodings, ["q", "h", "f"]);
    assert!(
        video.extensions.contains(&(10, Extension::StreamId)) && audio.extensions.contains(&(1, Extension::AudioLevel))
    );
    let has = |line: &str| answer.sdp.contains(&format!("{line}\r\n"));
    assert!(has("a=group:BUNDLE 0 1") && has("a=ice-lite") && has("a=setup:passive") && has("a=recvonly"));
    assert!(has("m=video 7000 UDP/TLS/RTP/SAVPF 96 97") && has("a=simulcast:recv q;h;f") && has("a=rid:q recv"));
    assert!(has("a=candidate:2 1 udp 2130706175 2001:db8::1 7000 typ host"));
    assert!(has("a=rtcp-fb:96 nack pli") && has("a=rtcp-fb:96 transport-cc") && has("a=fmtp:97 apt=96"));
    assert!(!answer.sdp.contains("video-timing"), "an extension that nobody here reads is not taken");
}

#[test]
fn the_first_codec_that_both_have_is_taken_and_h264_only_in_the_mode_that_carries_key_frames() {
    let offered = read(PUBLISH);
    let codec = |preferred: &[Codec]| {
        let answer = offered.answer_publisher(&ours(), preferred).expect("answered");
        let format = &answer.accepted[1].format;
        (format.codec, format.parameter("packetization-mode").map(str::to_owned))
    };
    assert_eq!(codec(&[]), (Codec::Vp8, None));
    assert_eq!(codec(&[Codec::Av1, Codec::Vp9]), (Codec::Av1, None));
    let only =
        PUBLISH.replace("packetization-mode=1;profile-level-id=42001f", "packetization-mode=0;profile-level-id=42001f");
    let answer = read(&only).answer_publisher(&ours(), &[Codec::H264]).expect("answered");
    assert_eq!(answer.accepted[1].format.parameter("packetization-mode"), Some("1"));
}

#[test]
fn a_browser_that_plays_gets_tracks_in_its_own_numbers() {
    let published = read(PUBLISH);
    let av1 = formats(&published, 1).iter().find(|format| format.codec == Codec::Av1).expect("AV1").clone();
    let tracks = [av1, formats(&published, 0)[0].clone()];
    let stream = |track: Option<usize>| outgoing(10 * (track.expect("one for each") as u32 + 1));
    let answer = read(PLAY).answer_player(&ours(), &[], &tracks, stream).expect("answered");
    let [audio, video] = &answer.accepted[..] else { panic!("{:?}", answer.accepted) };
    assert_eq!((audio.track, audio.format.codec), (Some(1), Codec::Opus));
    assert_eq!((video.track, video.format.codec), (Some(0), Codec::Av1));
    assert!(answer.sdp.contains("a=ssrc-group:FID 10 11\r\n") && answer.sdp.contains("a=sendonly\r\n"));
    assert!(!answer.sdp.contains("FID 20"), "audio has nothing to send again by");
    assert!(answer.sdp.contains("a=ssrc:20 cname:alice\r\n") && answer.sdp.contains("a=msid:alice track\r\n"));
    assert!(video.extensions.iter().all(|(_, extension)| *extension != Extension::StreamId));
}

#[test]
fn a_section_that_no_track_fits_waits_for_one_of_the_codec_that_publishers_are_asked_for() {
    let mut h264 = formats(&read(PUBLISH), 1).iter().find(|format| format.codec == Codec::H264).expect("H264").clone();
    h264.parameters = Some("packetization-mode=1;profile-level-id=580020".to_owned());
    let answer = read(PLAY).answer_player(&ours(), &[Codec::Vp9], &[h264], |_| outgoing(10)).expect("answered");
    let codecs: Vec<_> = answer.accepted.iter().map(|sent| (sent.track, sent.format.codec)).collect();
    assert_eq!(codecs, [(None, Codec::Opus), (None, Codec::Vp9)]);
    assert_eq!(answer.sdp.matches("a=sendonly\r\n").count(), 2);
}

#[test]
fn the_wrong_way_round_is_refused() {
    let refused = read(PLAY).answer_publisher(&ours(), &[]).expect_err("it only plays");
    assert!(refused.to_string().contains("a=sendonly") && refused.status() == 422);
    assert!(
        read(PUBLISH)
            .answer_player(&ours(), &[], &[], |_| outgoing(1))
            .expect_err("it only sends")
            .to_string()
            .contains("a=recvonly")
    );
}

#[test]
fn data_channels_and_what_is_outside_the_bundle_are_refused_in_their_place() {
    let data =
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n";
    let offered = read(&format!("{}{data}", PUBLISH.replace("BUNDLE 0 1", "BUNDLE 0 2")));
    let answer = offered.answer_publisher(&ours(), &[]).expect("audio is taken");
    assert_eq!(answer.accepted.len(), 1);
    assert!(answer.sdp.contains("a=group:BUNDLE 0\r\n"));
    assert!(answer.sdp.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert!(answer.sdp.contains("m=video 0 UDP/TLS/RTP/SAVPF 96 97"), "{}", answer.sdp);
}

#[test]
fn an_offer_that_cannot_be_taken_says_what_is_missing() {
    assert!(why(&PUBLISH.replace("a=group:BUNDLE 0 1\r\n", "")).contains("BUNDLE"));
    assert!(why(&PUBLISH.replace("a=rtcp-mux\r\n", "")).contains("a=rtcp-mux"));
    assert!(why(&PUBLISH.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")).contains("UDP/TLS/RTP/SAVPF"));
    assert!(why(&PUBLISH.replacen("a=ice-ufrag:", "a=ice-ufrag:other", 1)).contains("different ICE credentials"));
    let lines = |start: &str| PUBLISH.lines().filter(|line| !line.starts_with(start)).collect::<Vec<_>>().join("\r\n");
    assert!(why(&lines("a=ice-")).contains("a=ice-ufrag"));
    assert!(why(&lines("a=fingerprint")).contains("a=fingerprint"));
    assert!(why(&PUBLISH.replace("setup:actpass", "setup:holdconn")).contains("holdconn"));
    assert!(why("nonsense").len() > 10);
}

#[test]
fn whoever_only_waits_for_dtls_is_called() {
    let answer =
        read(&PUBLISH.replace("setup:actpass", "setup:passive")).answer_publisher(&ours(), &[]).expect("answered");
    assert!(answer.sdp.contains("a=setup:active\r\n") && !answer.sdp.contains("a=setup:passive"));
}

#[test]
fn what_one_party_says_does_not_grow_the_offers_of_others() {
    let long = format!("a=fmtp:111 x={}", "y".repeat(300));
    let offered = read(&PUBLISH.replace("a=fmtp:111 minptime=10;useinbandfec=1", &long));
    assert!(formats(&offered, 0).iter().all(|format| format.codec != Codec::Opus), "the next codec is taken");
    let odd =
        PUBLISH.replace("rid:q", "rid:q_1").replace("send q;h", "send q_1;h").replace("rid:h", "rid:hhhhhhhhhhhhhhhhh");
    let offered = read(&odd.replace("q_1;h;f", "q_1;hhhhhhhhhhhhhhhhh;f").replace("extmap:11 ", "extmap:15 "));
    let Section::Media(media) = &offered.sections[1] else { panic!("{:?}", offered.sections[1]) };
    assert_eq!(media.encodings, ["f"], "names that no one-byte extension carries are none");
    assert!(media.extensions.iter().all(|(id, _)| *id < 15), "15 is reserved (RFC 8285 section 4.2)");
    let many: String = (0..9).map(|n| format!("a=rid:r{n} send\r\n")).collect();
    let names: Vec<_> = (0..9).map(|n| format!("r{n}")).collect();
    let offered = read(&format!(
        "{}{many}a=simulcast:send {}\r\n",
        PUBLISH.replace("a=simulcast:send q;h;f\r\n", ""),
        names.join(";")
    ));
    let Section::Media(media) = &offered.sections[1] else { panic!("{:?}", offered.sections[1]) };
    assert_eq!(media.encodings, ["r0", "r1", "r2", "r3"]);
}

#[test]
fn places_are_used_again_by_tracks_of_the_same_codec_and_never_taken_away() {
    let published = read(PUBLISH);
    let (opus, vp8) = (&formats(&published, 0)[0], &formats(&published, 1)[0]);
    let mut places = Places::default();
    assert_eq!(places.add(TrackId(1), vp8, outgoing(10)), Ok(0));
    assert_eq!(places.add(TrackId(2), opus, outgoing(20)), Ok(1));
    assert!(places.remove(TrackId(1)) && !places.remove(TrackId(1)));
    let offer = places.offer(&ours());
    assert!(offer.contains("a=group:BUNDLE 0 1\r\n") && offer.contains("a=inactive\r\n"));
    assert_eq!(places.add(TrackId(3), opus, outgoing(30)), Ok(2), "video's place is none for audio");
    assert_eq!(places.add(TrackId(4), vp8, outgoing(40)), Ok(0));
    assert_eq!(places.tracks().collect::<Vec<_>>(), [(0, TrackId(4)), (1, TrackId(2)), (2, TrackId(3))]);
    let offer = places.offer(&ours());
    assert!(
        offer.contains("a=ssrc-group:FID 40 41\r\n")
            && offer.contains("a=setup:actpass\r\n")
            && !offer.contains(":10 ")
    );
}

#[test]
fn an_answer_says_which_tracks_are_taken_and_fits_its_offer() {
    let published = read(PUBLISH);
    let mut places = Places::default();
    places.add(TrackId(1), &formats(&published, 0)[0], outgoing(10)).expect("a place");
    places.add(TrackId(2), &formats(&published, 1)[0], outgoing(20)).expect("a place");
    let answer = include_str!("../../corpus/answer-chromium.sdp");
    let (answered, taken) = places.answer(answer.as_bytes()).expect("an answer");
    assert_eq!(taken.iter().map(|(track, _)| *track).collect::<Vec<_>>(), [TrackId(1), TrackId(2)]);
    assert!(!answered.we_open);
    let declined = answer.replacen("a=recvonly", "a=inactive", 1);
    assert_eq!(places.answer(declined.as_bytes()).expect("an answer").1.len(), 1);
    let refused = |text: String| places.answer(text.as_bytes()).expect_err("no answer to it").to_string();
    assert!(refused(answer.replace("a=mid:1", "a=mid:9").replace("BUNDLE 0 1", "BUNDLE 0 9")).contains("a=mid:9"));
    let first = answer.find("m=video").expect("two");
    assert!(refused(answer[..first].replace("BUNDLE 0 1", "BUNDLE 0")).contains("1 media sections, 2 were offered"));
}
