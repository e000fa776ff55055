//! Calls between proxies and a relay that is written out message by message.

use std::time::Duration;

use raceway_api::{FromRelay, Operation, OperationError, RelayPorts, SessionId, ToRelay};
use raceway_control::calls::Outcome;
use raceway_control::link::{Command, Link};
use raceway_media::{Interface, Settings, is_media};
use raceway_ng::{Request, Response};
use tokio::sync::oneshot;

use crate::link::{ScriptedRelay, report, start_with};

fn start(relay: &ScriptedRelay) -> Link {
    let address = "127.0.0.1".parse().expect("an address");
    let ports = RelayPorts { first: 30_000, last: 30_099 };
    let interface = Interface { name: "lo".to_owned(), address, advertised: address, ports };
    start_with(relay, Some(Settings::new(vec![interface])))
}

/// Gives a command; the answer comes later.
fn tell(link: &Link, text: &str) -> oneshot::Receiver<Outcome> {
    let command = Request::read(text.as_bytes()).command.unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    let (reply, answer) = oneshot::channel();
    link.tell(Command::Ng { command: Box::new(command), reply }).expect("the thread lives");
    answer
}

fn answer(answer: oneshot::Receiver<Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answered = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), answer).await });
    answered.expect("an answer in time").expect("the thread lives")
}

fn ask(link: &Link, text: &str) -> Outcome {
    answer(tell(link, text))
}

fn sdp(port: u16) -> String {
    format!(
        "v=0\\r\\no=- 1 1 IN IP4 127.0.0.7\\r\\ns=-\\r\\nc=IN IP4 127.0.0.7\\r\\nt=0 0\\r\\nm=audio {port} RTP/AVP 0\\r\\n"
    )
}

fn offer() -> String {
    format!(r#"{{"command":"offer","call-id":"c","from-tag":"a","sdp":"{}","replace":["origin"]}}"#, sdp(4000))
}

fn answering() -> String {
    format!(r#"{{"command":"answer","call-id":"c","from-tag":"a","to-tag":"b","sdp":"{}"}}"#, sdp(5000))
}

/// The SDP of an answer.
fn body(outcome: Outcome) -> String {
    assert_eq!(outcome.warnings, <[String; 0]>::default());
    let Response::Ok(body) = outcome.response else { panic!("{:?}", outcome.response) };
    String::from_utf8(body.sdp.expect("an SDP")).expect("UTF-8")
}

/// The next thing that the relay is to apply; reports that are asked for in between are answered with nothing.
fn next_apply(relay: &mut ScriptedRelay) -> (u64, SessionId, Vec<Operation<'static>>) {
    loop {
        match relay.next() {
            ToRelay::Apply { transaction, session, operations, .. } => return (transaction, session, operations),
            ToRelay::Report { .. } => relay.say(&FromRelay::SnapshotEnd),
            other => panic!("{other:?} is not an Apply"),
        }
    }
}

/// Offers a call, which the relay carries out; its session, and what the relay was told.
fn set_up(link: &Link, relay: &mut ScriptedRelay) -> (SessionId, Vec<Operation<'static>>) {
    let offered = tell(link, &offer());
    let (transaction, session, mut all) = next_apply(relay);
    relay.say(&FromRelay::Applied { transaction, session });
    assert!(body(answer(offered)).contains("c=IN IP4 127.0.0.1"));
    let answered = tell(link, &answering());
    let (transaction, _, operations) = next_apply(relay);
    relay.say(&FromRelay::Applied { transaction, session });
    body(answer(answered));
    all.extend(operations);
    (session, all)
}

#[test]
fn a_proxy_is_answered_when_the_relay_has_carried_it_out_and_not_before() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let mut offered = tell(&link, &offer());
    let (transaction, session, operations) = next_apply(&mut relay);
    assert!(is_media(session) && matches!(operations.last(), Some(Operation::Confirm)), "{operations:?}");
    let opened = operations.iter().filter(|operation| matches!(operation, Operation::OpenMedia { .. })).count();
    assert!(opened >= 2, "{operations:?}");
    assert!(offered.try_recv().is_err(), "the relay has not said that it is done");
    relay.say(&FromRelay::Applied { transaction, session });
    let sdp = body(answer(offered));
    assert!(sdp.contains("o=- 1 1 IN IP4 127.0.0.1\r\n") && sdp.contains("m=audio 30"), "{sdp}");
    let Response::Ok(list) = ask(&link, r#"{"command":"list"}"#).response else { panic!("a list") };
    assert_eq!(list.calls, Some(vec!["c".to_owned()]));
}

#[test]
fn what_the_relay_cannot_do_is_refused_with_the_reason() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let offered = tell(&link, &offer());
    let (transaction, session, _) = next_apply(&mut relay);
    relay.say(&FromRelay::Failed { transaction, session, operation: 0, error: OperationError::SessionsFull });
    let Response::Error(reason) = answer(offered).response else { panic!("an error") };
    assert!(reason.contains("session table is full"), "{reason}");
    let Response::Error(reason) = ask(&link, r#"{"command":"query","call-id":"c"}"#).response else {
        panic!("an error")
    };
    assert_eq!(reason, "Unknown call-id \"c\"");
}

#[test]
fn whoever_waits_when_the_relay_goes_is_told_so() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let offered = tell(&link, &offer());
    next_apply(&mut relay);
    relay.connection = None;
    assert_eq!(answer(offered).response, Response::Error("The relay does not answer".to_owned()));
}

#[test]
fn a_delete_tells_what_the_call_was_and_an_unknown_one_is_an_error_only_if_fatal() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let (session, _) = set_up(&link, &mut relay);
    let delete = r#"{"command":"delete","call-id":"c","from-tag":"a","to-tag":"b"}"#;
    let deleted = tell(&link, delete);
    let (transaction, ended, operations) = next_apply(&mut relay);
    assert_eq!(ended, session);
    assert!(operations.contains(&Operation::RemoveSession), "{operations:?}");
    relay.say(&FromRelay::Applied { transaction, session });
    let Response::Ok(body) = answer(deleted).response else { panic!("a call") };
    let call = body.call.expect("what it was");
    let tags: Vec<&str> = call.parties.iter().map(|party| party.tag.as_str()).collect();
    assert_eq!(tags, ["a", "b"]);
    assert_eq!(call.parties[0].subscriptions[0].tag, "b");
    assert_eq!(call.parties[0].medias[0].streams[0].advertised, "127.0.0.7:4000".parse().ok());
    let again = ask(&link, delete);
    assert_eq!((again.response, &*again.warnings), (Response::ok(), &["Unknown call-id \"c\"".to_owned()][..]));
    let fatal = r#"{"command":"delete","call-id":"c","from-tag":"a","flags":["fatal"]}"#;
    assert_eq!(ask(&link, fatal).response, Response::Error("Unknown call-id \"c\"".to_owned()));
}

#[test]
fn a_query_with_a_tag_tells_of_the_other_side_too() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    set_up(&link, &mut relay);
    for keys in ["", r#","from-tag":"a""#, r#","from-tag":"b""#, r#","to-tag":"b""#] {
        let queried = ask(&link, &format!(r#"{{"command":"query","call-id":"c"{keys}}}"#));
        let Response::Ok(body) = queried.response else { panic!("{queried:?}") };
        let parties = body.call.expect("a call").parties;
        let tags: Vec<&str> = parties.iter().map(|party| party.tag.as_str()).collect();
        assert_eq!(tags, ["a", "b"], "{keys}");
        assert_eq!(parties[1].subscribers[0].tag, "a");
    }
    let unknown = ask(&link, r#"{"command":"query","call-id":"c","from-tag":"z"}"#);
    assert_eq!(unknown.response, Response::Error("Unknown from-tag \"z\" in call \"c\"".to_owned()));
}

#[test]
fn a_relay_that_restarted_is_told_every_call() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let (session, _) = set_up(&link, &mut relay);
    relay.connection = None;
    relay.greet(2);
    let (_, told, operations) = next_apply(&mut relay);
    assert_eq!(told, session);
    let legs = operations.iter().filter(|operation| matches!(operation, Operation::PutLeg(_))).count();
    assert_eq!(legs, 2, "{operations:?}");
}

#[test]
fn a_control_that_restarted_knows_the_calls_of_the_snapshot() {
    let mut relay = ScriptedRelay::new();
    let first = start(&relay);
    relay.greet_empty();
    let (session, operations) = set_up(&first, &mut relay);
    drop(first);
    relay.connection = None;
    let second = start(&relay);
    relay.greet(1);
    assert_eq!(relay.next(), ToRelay::Snapshot);
    relay.say(&FromRelay::Session(report(session, &operations)));
    relay.say(&FromRelay::SnapshotEnd);
    loop {
        match relay.next() {
            ToRelay::Synchronised => break,
            ToRelay::Report { .. } => relay.say(&FromRelay::SnapshotEnd),
            ToRelay::Apply { operations, .. } => assert!(!operations.contains(&Operation::RemoveSession)),
            other => panic!("{other:?}"),
        }
    }
    let Response::Ok(body) = ask(&second, r#"{"command":"query","call-id":"c"}"#).response else { panic!("a call") };
    let call = body.call.expect("it is known");
    assert_eq!(call.parties.len(), 2);
    assert_eq!(call.parties[1].medias[0].streams[0].advertised, "127.0.0.7:5000".parse().ok());
}

#[test]
fn an_operator_ends_a_call_and_sees_those_that_there_are() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    set_up(&link, &mut relay);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ask = |make| runtime.block_on(link.ask(make)).expect("the thread lives");
    let (calls, total) = ask(|reply| Command::Calls { limit: 10, reply });
    assert_eq!((calls.len(), total, calls[0].call_id.as_str()), (1, 1, "c"));
    let terminate = |call_id: &str| {
        let call_id = call_id.to_owned();
        runtime.block_on(link.ask(|reply| Command::Terminate { call_id, reply })).expect("the thread lives")
    };
    assert!(!terminate("d") && terminate("c"));
    let (transaction, session, operations) = next_apply(&mut relay);
    assert!(operations.contains(&Operation::RemoveSession));
    relay.say(&FromRelay::Applied { transaction, session });
    let ended = || {
        let overview = runtime.block_on(link.ask(|reply| Command::Overview { fresh: false, reply })).expect("it lives");
        (overview.calls.open, overview.calls.ended(raceway_media::Ended::Terminated))
    };
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while ended() != (0, 1) {
        assert!(std::time::Instant::now() < until, "{:?}", ended());
    }
}

#[test]
fn without_ports_for_media_a_command_says_what_to_configure() {
    let mut relay = ScriptedRelay::new();
    let link = start_with(&relay, None);
    relay.greet_empty();
    let Response::Error(reason) = ask(&link, &offer()).response else { panic!("an error") };
    assert!(reason.contains("write [media] port_range"), "{reason}");
}

#[test]
fn a_fragment_with_candidates_is_no_answer_and_is_answered_without_an_sdp() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    let (session, _) = set_up(&link, &mut relay);
    let fragment = r#""flags":["fragment"],"sdp":"a=candidate:1 1 UDP 1 127.0.0.7 4000 typ host\r\n""#;
    for (command, tags) in [("offer", r#""from-tag":"b""#), ("answer", r#""from-tag":"a","to-tag":"b""#)] {
        let told = tell(&link, &format!(r#"{{"command":"{command}","call-id":"c",{tags},{fragment}}}"#));
        let (transaction, _, operations) = next_apply(&mut relay);
        let is_media =
            |operation: &Operation<'_>| matches!(operation, Operation::OpenMedia { .. } | Operation::PutLeg(_));
        assert!(!operations.iter().any(is_media), "{operations:?}");
        relay.say(&FromRelay::Applied { transaction, session });
        let Response::Ok(body) = answer(told).response else { panic!("{command}") };
        assert_eq!(body.sdp, None);
    }
}

#[test]
fn codecs_go_and_change_places_as_a_proxy_says() {
    let mut relay = ScriptedRelay::new();
    let link = start(&relay);
    relay.greet_empty();
    for (call, codecs, expected) in [
        ("d", r#""codec":{"strip":["all"],"except":["GSM"],"offer":["PCMA"]}"#, "RTP/AVP 8 3\r\n"),
        ("e", r#""flags":["codec-strip-PCMU","codec-offer-GSM"]"#, "RTP/AVP 3 8\r\n"),
        ("f", r#""flags":["single codec"]"#, "RTP/AVP 0\r\n"),
    ] {
        let sdp = sdp(4000).replace("AVP 0", "AVP 0 3 8");
        let text = format!(r#"{{"command":"offer","call-id":"{call}","from-tag":"a","sdp":"{sdp}",{codecs}}}"#);
        let offered = tell(&link, &text);
        let (transaction, session, _) = next_apply(&mut relay);
        relay.say(&FromRelay::Applied { transaction, session });
        let sdp = body(answer(offered));
        assert!(sdp.contains(expected), "{sdp}");
    }
}
