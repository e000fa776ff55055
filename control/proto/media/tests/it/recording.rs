//! Recordings: who may have one, and what a call is while it is recorded.

use std::time::Duration;

use raceway_api::{Operation, RecordingProblem, RecordingState, Security};
use raceway_media::{Command, Consent, Delete, Event, Offer, Options, Record, Recording, Refusal, Reply};

use crate::world::{CALL, World, body, delete, offer};

fn consent() -> Consent {
    Consent { given: true, metadata: "consent:yes|case:7".to_owned() }
}

fn record(what: Recording, consent: Consent) -> Command {
    Command::Record(Record { call_id: CALL.to_owned(), what, consent })
}

fn start() -> Command {
    record(Recording::Start, consent())
}

fn recorded() -> Options {
    Options { record: Some(true), consent: consent(), ..Options::default() }
}

impl World {
    fn recording(&self) -> Option<&raceway_api::Recording<'static>> {
        self.session().recording.as_ref()
    }

    fn stems(&self) -> Vec<String> {
        self.calls.query(CALL, None, None).expect("the call").recordings
    }
}

#[test]
fn nothing_is_recorded_before_a_command_says_that_the_parties_agree() {
    let mut world = World::new();
    let without = Options { record: Some(true), ..Options::default() };
    let refused = world.command(Command::Offer(Offer { options: without, ..offer(body("192.0.2.1", 4000)) }));
    assert_eq!(refused, Err(Refusal::NoConsent));
    assert!(world.calls.is_empty() && world.relay.sessions.is_empty());
    world.plain();
    let no = Consent { given: false, metadata: "consent:no".to_owned() };
    assert_eq!(world.command(record(Recording::Start, no)), Err(Refusal::NoConsent));
    assert_eq!(world.command(record(Recording::Pause, consent())), Err(Refusal::NotRecorded(CALL.to_owned())));
    assert_eq!(world.recording(), None);
    // Consent that is given later.
    assert_eq!(world.command(start()), Ok(Reply::Done));
    assert!(world.recording().is_some());
}

#[test]
fn what_is_recorded_is_named_by_time_and_chance_and_says_whose_it_is() {
    let mut world = World::new();
    world.plain_with(recorded());
    let recording = world.recording().expect("it is recorded").clone();
    assert!(recording.is_proper() && recording.stem.starts_with("20231114T221320Z-"), "{}", recording.stem);
    assert_eq!(recording.stem.len(), 17 + 16);
    for part in
        ["call-id: 1-31631@10.77.1.1\n", "metadata: consent:yes|case:7\n", "party alice m-line 1 audio: to 10.0.0.1:"]
    {
        assert!(recording.note.contains(part), "{part}: {}", recording.note);
    }
    let mut other = World::new();
    let nasty = Offer { from_tag: "a\u{1b}[2J\n../".to_owned(), ..offer(body("192.0.2.1", 4000)) };
    other.offer(Offer { options: recorded(), call_id: "../../etc/passwd\n".to_owned(), ..nasty });
    let recording = other.recording().expect("it is recorded");
    assert!(recording.is_proper() && !recording.note.contains('\u{1b}'), "{recording:?}");
    assert!(recording.note.contains("call-id: ../../etc/passwd\\n\n"), "{}", recording.note);
}

#[test]
fn a_recorded_call_has_no_flows_and_gets_them_back() {
    let mut world = World::new();
    world.plain();
    for (party, rtcp) in [("192.0.2.1:4000", "192.0.2.1:4001"), ("192.0.2.2:5000", "192.0.2.2:5001")] {
        let leg = world.leg(party).id;
        world.learned(leg, false, party);
        world.learned(leg, true, rtcp);
    }
    assert_eq!(world.session().flows.len(), 4);
    world.command(start()).expect("it is recorded");
    assert_eq!(world.session().flows.len(), 0);
    // While it pauses, packets go the same way.
    world.command(record(Recording::Pause, Consent::default())).expect("it pauses");
    assert!(world.recording().is_some_and(|recording| recording.paused) && world.session().flows.is_empty());
    // To go on needs no consent anew.
    world.command(record(Recording::Start, Consent::default())).expect("it goes on");
    assert!(world.recording().is_some_and(|recording| !recording.paused));
    world.command(record(Recording::Stop { discard: false }, Consent::default())).expect("it ends");
    assert_eq!((world.recording(), world.session().flows.len()), (None, 4));
    let flow = world.relay.operations.iter().rposition(|operation| matches!(operation, Operation::PutFlow(_)));
    let stop =
        world.relay.operations.iter().rposition(|operation| *operation == Operation::StopRecording { discard: false });
    assert!(stop < flow, "what is in XDP is not in the recording");
}

#[test]
fn srtp_that_would_pass_unopened_is_opened_while_it_is_recorded() {
    let mut world = World::new();
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    let secure = |address, port| format!("{}{crypto}", body(address, port).replace("RTP/AVP", "RTP/SAVP"));
    world.offer(Offer { options: Options::default(), ..offer(secure("192.0.2.1", 4000)) });
    world.answer(crate::world::answer(secure("192.0.2.2", 5000)));
    let opaque = |world: &World| world.session().legs.values().filter(|leg| leg.receive == Security::Opaque).count();
    let before = opaque(&world);
    world.command(start()).expect("it is recorded");
    assert_eq!(opaque(&world), 0);
    world.command(record(Recording::Stop { discard: false }, consent())).expect("it ends");
    assert_eq!(opaque(&world), before);
}

#[test]
fn each_start_after_a_stop_is_another_recording() {
    let mut world = World::new();
    world.plain();
    for _ in 0..2 {
        assert_eq!(world.command(start()), Ok(Reply::Done));
    }
    assert_eq!(world.stems().len(), 1, "it was recorded already");
    world.command(record(Recording::Stop { discard: false }, consent())).expect("it ends");
    world.command(record(Recording::Stop { discard: false }, consent())).expect("it has ended");
    world.command(start()).expect("another");
    let stems = world.stems();
    assert!(stems.len() == 2 && stems[0] != stems[1], "{stems:?}");
    assert!(world.calls.query(CALL, None, None).expect("the call").recording.is_some_and(|view| view.stem == stems[1]));
    // What is discarded was never there.
    world.command(record(Recording::Stop { discard: true }, consent())).expect("it ends");
    assert_eq!(world.stems(), stems[..1]);
    assert!(world.relay.operations.contains(&Operation::StopRecording { discard: true }));
    world.command(start()).expect("a third");
    let kept = world.delete().recordings;
    assert!(kept.len() == 2 && kept[0] == stems[0], "{kept:?}");
}

#[test]
fn a_call_may_have_so_many_recordings_and_no_more() {
    let mut world = World::new();
    world.plain();
    for _ in 0..raceway_media::limits::RECORDINGS_MAX {
        world.command(start()).expect("one more");
        world.command(record(Recording::Stop { discard: false }, consent())).expect("it ends");
    }
    assert!(matches!(world.command(start()), Err(Refusal::TooMany { what: "recordings", .. })));
}

#[test]
fn a_recording_that_cannot_begin_is_an_error_and_the_call_goes_on() {
    let mut world = World::new();
    world.plain();
    world.relay.unrecordable = Some(RecordingProblem::Full);
    let refusal = world.command(start()).expect_err("the disk is full");
    assert_eq!(refusal, Refusal::Recording(RecordingProblem::Full));
    assert!(refusal.to_string().starts_with("The call is not recorded: the disk is full"), "{refusal}");
    assert_eq!((world.recording(), world.stems().len(), world.calls.len()), (None, 0, 1));
    world.relay.unrecordable = None;
    world.command(start()).expect("there is room again");
    assert!(world.recording().is_some());
}

#[test]
fn an_offer_whose_recording_cannot_begin_is_answered_and_that_is_told() {
    let mut world = World::new();
    world.relay.unrecordable = Some(RecordingProblem::Unconfigured);
    let outcome = world.command(Command::Offer(Offer { options: recorded(), ..offer(body("192.0.2.1", 4000)) }));
    assert!(matches!(outcome, Ok(Reply::Sdp(_))), "{outcome:?}");
    let told = |event: &Event| {
        let failed = RecordingState::Failed(RecordingProblem::Unconfigured);
        matches!(event, Event::Recording { state, request: Some(_), .. } if *state == failed)
    };
    assert!(world.events.iter().any(told), "{:?}", world.events);
    assert_eq!(world.recording(), None);
}

#[test]
fn a_recorder_that_says_nothing_is_not_waited_for_for_long() {
    let mut world = World::new();
    world.plain();
    world.relay.recorder_silent = true;
    world.give(start());
    world.settle();
    assert_eq!(world.calls.poll_outcome(), None);
    // A report says it as well.
    world.pass(Duration::from_millis(1100));
    assert!(matches!(world.calls.poll_outcome(), Some((_, Ok(Reply::Done)))));
    world.command(record(Recording::Stop { discard: false }, consent())).expect("it ends");
    world.give(start());
    while let Some(output) = world.calls.poll_output() {
        // The relay does it, and reports nothing.
        if let crate::relay::Said::Applied(transaction) = world.relay.take(output) {
            world.calls.handle_applied(world.now, transaction);
        }
    }
    for _ in 0..5 {
        world.now = world.now.after(Duration::from_secs(1));
        world.calls.handle_timeout(world.now);
    }
    assert!(matches!(world.calls.poll_outcome(), Some((_, Err(Refusal::Recording(RecordingProblem::Other(0)))))));
}

#[test]
fn a_disk_that_fills_up_is_told_once_and_so_is_its_end() {
    let mut world = World::new();
    world.plain_with(recorded());
    let session = world.session_id();
    for state in [
        RecordingState::Failed(RecordingProblem::Full),
        RecordingState::Failed(RecordingProblem::Full),
        RecordingState::Writing,
    ] {
        world.calls.handle_recording(world.now, session, state);
    }
    world.settle();
    let states = world.events.iter().filter_map(|event| match event {
        Event::Recording { state, .. } => Some(*state),
        _ => None,
    });
    let states: Vec<_> = states.collect();
    assert_eq!(states, [RecordingState::Failed(RecordingProblem::Full), RecordingState::Writing]);
    assert!(world.recording().is_some(), "it stays wanted");
}

#[test]
fn a_recording_outlives_either_process() {
    let mut world = World::new();
    world.plain_with(recorded());
    let before = world.recording().expect("it is recorded").clone();
    // The relay restarts.
    world.relay.forget();
    world.calls.relay_lost();
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.recording(), Some(&before));
    // Control restarts.
    let report = world.relay.report(world.session_id(), true).expect("a session");
    world.calls = World::new().calls;
    world.calls.restore(&report);
    assert_eq!(world.calls.restore_end(world.now), 0);
    world.settle();
    let view = world.calls.query(CALL, None, None).expect("the call");
    let recording = view.recording.expect("it is recorded");
    assert_eq!((&*recording.stem, recording.packets, recording.lost), (&*before.stem, 40, 2));
    assert_eq!(world.recording(), Some(&before));
    world.command(record(Recording::Stop { discard: false }, consent())).expect("it ends");
    assert_eq!(world.recording(), None);
}

#[test]
fn a_call_that_ends_answers_what_waited_for_its_recording() {
    let mut world = World::new();
    world.plain();
    world.relay.recorder_silent = true;
    let request = world.give(start());
    // As far as the relay has done it.
    while let Some(output) = world.calls.poll_output() {
        if let crate::relay::Said::Applied(transaction) = world.relay.take(output) {
            world.calls.handle_applied(world.now, transaction);
        }
    }
    world.give(Command::Delete(Delete { discard: true, ..delete() }));
    world.settle();
    assert_eq!(world.calls.poll_outcome(), Some((request, Ok(Reply::Done))));
    assert!(matches!(world.calls.poll_outcome(), Some((_, Ok(Reply::Deleted(_))))));
    assert!(world.relay.operations.contains(&Operation::StopRecording { discard: true }));
}
