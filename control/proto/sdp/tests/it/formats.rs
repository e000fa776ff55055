//! Formats that are taken out or reordered: what is said of them goes, nothing else changes.

use raceway_sdp::{CodecName, Sdp, Selection};

const AUDIO: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 111 0 8 9 101 110 126\r\n\
    a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\na=rtcp-fb:111 transport-cc\r\na=rtcp-fb:* nack\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:110 telephone-event/48000\r\n\
    a=ptime:20\r\na=odd \r\n";
const VIDEO: &str = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 4000 RTP/AVPF 96 97 98 99\r\n\
    a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 H264/90000\r\n\
    a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98;rtx-time=200\r\n";

fn names(text: &str) -> Vec<CodecName> {
    text.split_whitespace().map(CodecName::of).collect()
}

fn strip(text: &str) -> Selection {
    Selection { strip: names(text), ..Selection::default() }
}

fn select(body: &str, selection: &Selection) -> String {
    let mut sdp = Sdp::parse(body.as_bytes()).unwrap();
    sdp.media_mut()[0].select(selection);
    String::from_utf8(sdp.encode()).unwrap()
}

fn formats(body: &str, selection: &Selection) -> String {
    let body = select(body, selection);
    let line = body.split("\r\n").find(|line| line.starts_with("m=")).unwrap();
    line.split(' ').skip(3).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_said_of_a_format_goes_with_it_and_nothing_else_does() {
    let expected = AUDIO.replace(" 111 0", " 0").replace("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n", "");
    assert_eq!(select(AUDIO, &strip("opus")), expected.replace("a=rtcp-fb:111 transport-cc\r\n", ""));
    assert_eq!(select(AUDIO, &Selection::default()), AUDIO);
    assert_eq!(select(AUDIO, &strip("G729")), AUDIO);
}

#[test]
fn codecs_are_named_with_or_without_parameters_or_by_payload_type() {
    for (stripped, left) in [
        ("OPUS", "0 8 9 101 110 126"),
        ("opus/48000/2", "0 8 9 101 110 126"),
        ("opus/48000", "111 0 8 9 101 110 126"),
        ("opus/16000/2", "111 0 8 9 101 110 126"),
        ("PCMA G722", "111 0 101 110 126"),
        ("telephone-event", "111 0 8 9 126"),
        ("telephone-event/8000", "111 0 8 9 110 126"),
        ("126 9", "111 0 8 101 110"),
        ("PCMU/8000/1/64000", "111 8 9 101 110 126"),
    ] {
        assert_eq!(formats(AUDIO, &strip(stripped)), left, "{stripped}");
    }
}

#[test]
fn all_go_but_those_that_are_to_stay() {
    let all = Selection { strip_all: true, ..Selection::default() };
    let except = Selection { except: names("PCMA PCMU telephone-event/8000"), ..all.clone() };
    assert_eq!(formats(AUDIO, &except), "0 8 101", "in their order");
    let offer = Selection { offer: names("PCMA PCMU iLBC"), ..all.clone() };
    assert_eq!(formats(AUDIO, &offer), "8 0", "in the order that is asked for");
    let both = Selection { except: names("opus telephone-event/8000"), ..offer };
    assert_eq!(formats(AUDIO, &both), "8 0 111 101");
    let named = Selection { strip: names("PCMA"), except: names("PCMA PCMU"), ..all.clone() };
    assert_eq!(formats(AUDIO, &named), "0", "what is named goes");
}

#[test]
fn those_that_are_to_be_offered_come_first() {
    let offer = Selection { offer: names("PCMU opus"), ..Selection::default() };
    assert_eq!(formats(AUDIO, &offer), "0 111 8 9 101 110 126");
}

#[test]
fn where_no_media_would_be_left_all_stays() {
    let all = Selection { strip_all: true, ..Selection::default() };
    assert_eq!(select(AUDIO, &all), AUDIO);
    assert_eq!(select(AUDIO, &Selection { except: names("telephone-event"), ..all.clone() }), AUDIO);
    assert_eq!(select(VIDEO, &Selection { offer: names("PCMU"), ..all }), VIDEO);
}

#[test]
fn one_codec_stays_with_its_events() {
    let single = Selection { single: true, ..Selection::default() };
    assert_eq!(formats(AUDIO, &single), "111 101 110");
    assert_eq!(formats(AUDIO, &Selection { offer: names("PCMA"), ..single }), "8 101 110");
}

#[test]
fn what_repeats_a_format_goes_with_it() {
    assert_eq!(formats(VIDEO, &strip("VP8")), "98 99");
    assert_eq!(formats(VIDEO, &strip("96")), "98 99");
    assert_eq!(formats(VIDEO, &strip("rtx")), "96 98");
}

#[test]
fn what_is_no_rtp_stays() {
    let fax = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=image 4000 udptl t38\r\n";
    assert_eq!(select(fax, &strip("t38")), fax);
}
