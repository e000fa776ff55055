//! A call through Kamailio 5.6.3 and rtpengine 10.5.3, as it was on the wire.

use raceway_ng::{
    Body, CallReport, Command, Form, MediaReport, PartyReport, Request, Response, StreamReport, Subscription, Traffic,
    Verb, Warnings, split,
};

/// `request` or `reply`, and the datagram.
fn exchange() -> Vec<(String, String)> {
    let text = include_str!("../../corpus/kamailio-5.6.3-rtpengine-10.5.3.json");
    let messages: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
    let part = |message: &serde_json::Value, key: &str| message[key].as_str().expect("a string").to_owned();
    messages.iter().map(|message| (part(message, "dir"), part(message, "raw"))).collect()
}

fn requests() -> Vec<Request> {
    let requests = exchange().into_iter().filter(|(direction, _)| direction == "request");
    requests.map(|(_, raw)| Request::read(split(raw.as_bytes()).expect("a cookie").1)).collect()
}

#[test]
fn every_request_is_a_command_and_nothing_of_it_is_warned_about() {
    let requests = requests();
    let verbs: Vec<Verb> = requests.iter().map(|request| request.verb).collect();
    assert_eq!(verbs, [Verb::Ping, Verb::Offer, Verb::Answer, Verb::Delete]);
    for request in &requests {
        assert_eq!(request.form, Form::Bencode);
        assert_eq!(request.warnings.text(), None, "{:?}", request.verb);
        assert!(request.command.is_ok());
    }
}

#[test]
fn the_offer_says_what_kamailio_was_told_to_say() {
    let Ok(Command::Offer(offer)) = &requests()[1].command else { panic!("not an offer") };
    assert_eq!((offer.call_id.as_str(), offer.from_tag.as_str()), ("1-31631@10.77.1.1", "31631UAC1"));
    assert_eq!(offer.options.ice, Some(raceway_ng::options::Ice::Remove));
    assert!(offer.options.replace.origin && offer.options.replace.session_connection);
    assert_eq!(offer.options.received_from, Some("10.77.1.1".parse().expect("an address")));
    assert!(offer.options.supports_load_limit && !offer.options.sip_source_address);
    assert!(offer.sdp.starts_with(b"v=0\r\no=uac ") && offer.sdp.ends_with(b"a=sendrecv\r\n"));
    let Ok(Command::Answer(answer)) = &requests()[2].command else { panic!("not an answer") };
    assert_eq!((answer.from_tag.as_str(), answer.to_tag.as_str()), ("31631UAC1", "31626UAS1"));
}

fn reply_to(cookie: &str, response: &Response) -> String {
    let body = response.write(Form::Bencode, &Warnings::default());
    format!("{cookie} {}", String::from_utf8(body).expect("UTF-8"))
}

#[test]
fn answers_are_octet_for_octet_those_of_rtpengine() {
    let replies: Vec<String> =
        exchange().into_iter().filter(|(direction, _)| direction == "reply").map(|(_, raw)| raw).collect();
    assert_eq!(reply_to("0_31616_0", &Response::Pong), replies[0]);
    let (_, sdp) = replies[1].split_once("3:sdp168:").expect("an SDP");
    let body = Body { sdp: Some(sdp.as_bytes()[..168].to_vec()), ..Body::default() };
    assert_eq!(reply_to("0_31617_0", &Response::Ok(Box::new(body))), replies[1]);
    let body = Body { call: Some(call()), ..Body::default() };
    assert_eq!(reply_to("0_31616_1", &Response::Ok(Box::new(body))), replies[3]);
}

const CREATED: u64 = 1_795_332_837;

fn call() -> CallReport {
    CallReport {
        created: CREATED,
        created_us: 694_186,
        last_signal: CREATED,
        streams: Vec::new(),
        parties: vec![
            party("31631UAC1", "31626UAS1", "10.77.1.1", 30018, &["initialized", "send", "recv"]),
            party("31626UAS1", "31631UAC1", "10.77.2.1", 30000, &["initialized", "send", "recv", "ICE controlling"]),
        ],
        rtp: Traffic { packets: 150, octets: 25800, errors: 0 },
        rtcp: Traffic::default(),
    }
}

fn party(tag: &str, other: &str, address: &str, local: u16, flags: &[&'static str]) -> PartyReport {
    let other = vec![Subscription { tag: other.to_owned(), offer_answer: true }];
    let stream = |offset: u16, kind, ssrc, last_packet, traffic| StreamReport {
        local: format!("10.77.0.10:{}", local + offset).parse().expect("an address"),
        endpoint: format!("{address}:{}", 6000 + offset).parse().ok(),
        advertised: format!("{address}:{}", 6000 + offset).parse().ok(),
        crypto_suite: None,
        last_packet,
        flags: vec![kind, "filled"],
        ssrc,
        traffic,
    };
    let media = MediaReport {
        index: 1,
        kind: "audio".to_owned(),
        protocol: "RTP/AVP".to_owned(),
        codec: Some("PCMU/8000".to_owned()),
        streams: vec![
            stream(0, "RTP", Some(3_390_111_744), CREATED + 2, Traffic { packets: 75, octets: 12900, errors: 0 }),
            stream(1, "RTCP", None, CREATED, Traffic::default()),
        ],
        flags: flags.to_vec(),
    };
    PartyReport {
        tag: tag.to_owned(),
        label: None,
        created: CREATED,
        subscriptions: other.clone(),
        subscribers: other,
        medias: vec![media],
    }
}
