//! What each command needs, and what is said when it has not got it.

use core::time::Duration;

use raceway_ng::options::{Family, Learning, Protocol, Transport};
use raceway_ng::{All, Command, Form, Recording, Request, Toggle, Verb};

fn json(text: &str) -> Request {
    let request = Request::read(text.as_bytes());
    assert_eq!(request.form, Form::Json);
    request
}

fn command(text: &str) -> Command {
    json(text).command.unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

fn refused(text: &str) -> String {
    match json(text).command {
        Ok(command) => panic!("{text} is {command:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_key_that_is_missing_is_named() {
    for (text, reason) in [
        (r#"{"command":"offer","from-tag":"a","sdp":""}"#, r#"offer needs the key "call-id""#),
        (r#"{"command":"offer","call-id":"c","sdp":""}"#, r#"offer needs the key "from-tag""#),
        (r#"{"command":"offer","call-id":"c","from-tag":"a"}"#, r#"offer needs the key "sdp""#),
        (r#"{"command":"answer","call-id":"c","from-tag":"a","sdp":""}"#, r#"answer needs the key "to-tag""#),
        (r#"{"command":"answer","call-id":"c","to-tag":"a","sdp":""}"#, r#"answer needs the key "from-tag""#),
        (r#"{"command":"delete"}"#, r#"delete needs the key "call-id""#),
        (r#"{"command":"query"}"#, r#"query needs the key "call-id""#),
        (r#"{"command":"block media"}"#, r#"block media needs the key "call-id""#),
        (r#"{"command":"start recording"}"#, r#"start recording needs the key "call-id""#),
        (r#"{"command":"unsubscribe","call-id":"c"}"#, r#"unsubscribe needs the key "to-tag""#),
        (r#"{"command":"connect","call-id":"c","from-tag":"a"}"#, r#"connect needs the key "to-tag""#),
        (r#"{"call-id":"c"}"#, "the message has no command"),
        (r#"{"command":1}"#, "the message has no command"),
    ] {
        assert_eq!(refused(text), reason);
    }
}

#[test]
fn a_command_that_is_not_carried_out_says_what_is_missing() {
    assert_eq!(
        refused(r#"{"command":"play media","call-id":"c"}"#),
        r#"command "play media" is not supported: nothing is played into a call"#
    );
    assert_eq!(refused(r#"{"command":"dance\n"}"#), r#"command "dance\n" is not known"#);
    assert_eq!(json(r#"{"command":"mesh"}"#).verb, Verb::Other);
}

#[test]
fn a_value_that_would_send_media_elsewhere_is_refused() {
    let offer = |more: &str| format!(r#"{{"command":"offer","call-id":"c","from-tag":"a","sdp":"v=0",{more}}}"#);
    for (more, reason) in [
        (r#""media address":"10.0.0""#, r#"media address: "10.0.0" is not an IP address"#),
        (r#""address family":"IP5""#, r#"address family: "IP5" is not one of IP4, IP6"#),
        (
            r#""transport-protocol":"RTP/X""#,
            "transport-protocol: \"RTP/X\" is not one of RTP/AVP, RTP/AVPF, RTP/SAVP, RTP/SAVPF, UDP/TLS/RTP/SAVP, \
             UDP/TLS/RTP/SAVPF and accept",
        ),
        (r#""direction":["int"]"#, r#"direction: names the two interfaces, as in ["int", "ext"]"#),
        (r#""direction":["int",""]"#, "direction: an empty name"),
        (r#""received-from":["IP4"]"#, r#"received-from: has a family and an address, as in ["IP4", "192.0.2.1"]"#),
        (r#""TOS":"x""#, "TOS: not a whole number"),
        (r#""record call":"maybe""#, r#"record call: "maybe" is not one of yes, on, no, off"#),
        (r#""to-tag":7"#, "to-tag: a string is expected, not a number"),
        (r#""delete delay":-1"#, "delete delay: not a whole number from 0 to 86400"),
        (r#""rtpp-flags":"ICE=force media-address=x""#, r#"rtpp-flags: media-address: "x" is not an IP address"#),
    ] {
        assert_eq!(refused(&offer(more)), reason);
    }
    let long = "x".repeat(256);
    assert_eq!(
        refused(&format!(r#"{{"command":"query","call-id":"{long}"}}"#)),
        "call-id: 256 octets are too many, 255 are taken"
    );
}

#[test]
fn an_offer_has_its_options() {
    let request = json(
        r#"{"command":"offer","call-id":"c","from-tag":"a","to-tag":"b","via-branch":"v","sdp":"v=0",
            "flags":["trust address","strict-source","WebRTC","ice-banana","record-call"],"replace":"origin,SDP-version",
            "direction":["int","ext"],"address family":"IP6","media address":"2001:db8::1","TOS":184,
            "endpoint-learning":"heuristic","rtcp-mux":["offer"],"label":"caller","codec":{"transcode":["opus"]},
            "received-from":"192.0.2.9","delay-buffer":20,"moh":{},"unheard":1}"#,
    );
    let Ok(Command::Offer(offer)) = request.command else { panic!("not an offer") };
    let options = offer.options;
    assert_eq!((offer.to_tag.as_deref(), offer.via_branch.as_deref()), (Some("b"), Some("v")));
    assert!(options.strict_source && options.replace.origin && options.replace.sdp_version && options.rtcp_mux.require);
    assert_eq!(options.transport, Some(Transport::As(Protocol::TlsSavpf)));
    assert_eq!((options.interface_from.as_deref(), options.interface_to.as_deref()), (Some("int"), Some("ext")));
    assert_eq!((options.address_family, options.tos), (Some(Family::Ipv6), Some(184)));
    assert_eq!(options.record, Some(true));
    assert_eq!((options.learning, options.label.as_deref()), (Some(Learning::Heuristic), Some("caller")));
    assert_eq!(
        request.warnings.text().as_deref(),
        Some(
            "flags: \"ice-banana\" is not known; codec: \"transcode-opus\" is not supported: nothing is \
             transcoded; delay-buffer is not supported: media is not held back; moh is not supported: nothing is \
             played into a call; key \"unheard\" is not known"
        )
    );
}

#[test]
fn whom_a_change_is_about() {
    let Command::Change(change) = command(r#"{"command":"block DTMF","call-id":"c","label":"l","flags":["all"]}"#)
    else {
        panic!("not a change")
    };
    assert_eq!((change.what, change.on, change.all), (Toggle::BlockDtmf, true, All::All));
    assert_eq!((change.label.as_deref(), change.from_tag), (Some("l"), None));
    let text = r#"{"command":"unsilence media","call-id":"c","address":"192.0.2.1","all":"except-offer-answer"}"#;
    let Command::Change(change) = command(text) else { panic!("not a change") };
    assert_eq!((change.what, change.on, change.all), (Toggle::SilenceMedia, false, All::ExceptOfferAnswer));
    assert!(change.address.is_some());
}

#[test]
fn a_recording_pauses_in_three_spellings() {
    for text in [
        r#"{"command":"pause recording","call-id":"c"}"#,
        r#"{"command":"stop recording","call-id":"c","pause":"yes"}"#,
        r#"{"command":"stop recording","call-id":"c","flags":["pause"]}"#,
    ] {
        let Command::Record(record) = command(text) else { panic!("{text}") };
        assert_eq!(record.what, Recording::Pause);
        assert!(!record.metadata.consents());
    }
    let text = r#"{"command":"start recording","call-id":"c","metadata":"case:7|consent:yes"}"#;
    let Command::Record(record) = command(text) else { panic!("{text}") };
    assert!(record.what == Recording::Start && record.metadata.consents());
}

#[test]
fn a_delete_has_its_flags_and_delay() {
    let text = r#"{"command":"delete","call-id":"c","from-tag":"a","delete delay":"0","flags":["fatal","to-tag"]}"#;
    let Command::Delete(delete) = command(text) else { panic!("{text}") };
    assert_eq!(delete.delay, Some(Duration::ZERO));
    assert!(delete.fatal && delete.only_to_tag && !delete.fast);
}

#[test]
fn whose_media_a_subscriber_wants() {
    let text = r#"{"command":"subscribe request","call-id":"c","from-tag":"a","from-tags":["b"],"flags":["from-tags-d"],
                   "label":"whose","set-label":"mine","to-tag":"t"}"#;
    let Command::SubscribeRequest(request) = command(text) else { panic!("{text}") };
    assert_eq!(request.from_tags, ["a", "b", "d"]);
    assert_eq!((request.label.as_deref(), request.options.label.as_deref()), (Some("whose"), Some("mine")));
}

#[test]
fn list_has_a_default() {
    assert_eq!(command(r#"{"command":"list"}"#), Command::List { limit: 32 });
    assert_eq!(command(r#"{"command":"list","limit":"5"}"#), Command::List { limit: 5 });
    assert_eq!(refused(r#"{"command":"list","limit":0}"#), "limit: not a whole number from 1 to 1000000");
}
