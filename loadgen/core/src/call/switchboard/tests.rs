use raceway_ng::{Dictionary, Value, bencode};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A relay that gives back what it is told, with a port of its own.
#[derive(Default)]
struct Relay {
    /// Commands that came, in order.
    commands: Vec<String>,
    refuse: Option<&'static str>,
}

impl Relay {
    fn answer(&mut self, datagram: &[u8]) -> Vec<u8> {
        let at = datagram.iter().position(|octet| *octet == b' ').unwrap();
        let (request, _) = bencode::read(&datagram[at + 1..]).unwrap();
        let command = request.get("command").and_then(Value::text).unwrap().to_owned();
        let answer = match self.refuse.filter(|refused| *refused == command) {
            Some(_) => Dictionary::default().with("result", "error").with("error-reason", "full"),
            None => {
                let sdp = request.get("sdp").and_then(Value::text).map(|sdp| sdp.replace("audio 4000", "audio 30000"));
                Dictionary::default().with("result", "ok").with_some("sdp", sdp)
            }
        };
        self.commands.push(command);
        let mut out = datagram[..=at].to_vec();
        bencode::write(&answer.into(), &mut out);
        out
    }
}

fn settings(pace: Pace, course: Course) -> Settings {
    let formats = Formats::of(&"pcmu".parse().unwrap());
    Settings { run: 7, formats, pace, course, timing: Timing::default(), begin: Instant::from_ns(1_000_000_000) }
}

fn window(most: u32) -> Pace {
    Pace::Window(NonZeroU32::new(most).unwrap())
}

fn per_second(rate: u32) -> Pace {
    Pace::PerSecond(NonZeroU32::new(rate).unwrap())
}

fn board(calls: u32, pace: Pace, course: Course) -> Switchboard {
    let party = |port| Party { media: ([127, 0, 0, 1], port).into(), key: None };
    Switchboard::new(settings(pace, course), (0..calls).map(|_| [party(4000), party(4002)]))
}

/// What is due now, all of it.
fn due(board: &mut Switchboard, now: Instant) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| board.poll_transmit(now).map(<[u8]>::to_vec)).collect()
}

/// Asks and answers until nothing is due at `now`.
fn settle(board: &mut Switchboard, relay: &mut Relay, now: Instant) {
    loop {
        let requests = due(board, now);
        if requests.is_empty() {
            return;
        }
        for request in requests {
            board.handle(&relay.answer(&request), now);
        }
    }
}

fn begin() -> Instant {
    Instant::from_ns(1_000_000_000)
}

#[test]
fn a_call_is_offered_answered_and_deleted_when_it_is_told_to_be() {
    let (mut board, mut relay) = (board(1, window(4), Course::Stay), Relay::default());
    settle(&mut board, &mut relay, begin());
    assert!(board.are_settled() && !board.are_over());
    let Some(Event::Up { call: 0, turn: 0, told }) = board.poll_event() else { panic!("it is up") };
    assert_eq!(told.map(|told| (told.to.port(), told.mux)), [(4002, true), (30_000, true)]);
    board.stop();
    settle(&mut board, &mut relay, begin());
    assert!(board.are_over());
    assert_eq!(relay.commands, ["offer", "answer", "delete"]);
    assert!(matches!(board.poll_event(), Some(Event::Over { call: 0 })));
}

#[test]
fn no_more_commands_are_on_their_way_than_the_window_has_room_for() {
    let (mut board, mut relay) = (board(10, window(3), Course::Stay), Relay::default());
    let first = due(&mut board, begin());
    assert_eq!(first.len(), 3);
    board.handle(&relay.answer(&first[0]), begin());
    // The answer to its offer, and nothing besides.
    let second = due(&mut board, begin());
    assert_eq!(second.len(), 1);
    board.handle(&relay.answer(&second[0]), begin());
    let third = due(&mut board, begin());
    assert!(third.len() == 1 && third[0].starts_with(b"00000007.3.0.o "), "the call is up: there is room for another");
    board.stop();
    assert_eq!(due(&mut board, begin()).len(), 0, "the deletion of the first one waits too");
}

#[test]
fn calls_begin_at_their_rate_whatever_became_of_those_before() {
    let mut board = board(10, per_second(1000), Course::Stay);
    assert_eq!(due(&mut board, begin()).len(), 1);
    assert_eq!(due(&mut board, begin().after(4 * MS)).len(), 4);
    assert_eq!(board.poll_lateness(), Some(Duration::ZERO));
    assert_eq!(due(&mut board, begin().after(9 * MS)).len(), 5);
}

#[test]
fn time_is_counted_from_when_a_call_was_due() {
    let (mut board, mut relay) = (board(1, per_second(10), Course::Stay), Relay::default());
    settle(&mut board, &mut relay, begin().after(30 * MS));
    assert_eq!(board.figures().set_up_us.max() / 100, 300);
    assert_eq!(board.figures().took_us[Stage::Offer as usize].max(), 0);
}

#[test]
fn a_call_that_comes_and_goes_has_another_name_each_time() {
    let (mut board, mut relay) = (board(1, window(1), Course::Again(Duration::ZERO)), Relay::default());
    let mut names = Vec::new();
    for _ in 0..9 {
        let requests = due(&mut board, begin());
        assert_eq!(requests.len(), 1);
        names.push(String::from_utf8_lossy(&requests[0]).split_once(' ').unwrap().0.to_owned());
        board.handle(&relay.answer(&requests[0]), begin());
    }
    assert_eq!(names[..4], ["00000007.0.0.o", "00000007.0.0.a", "00000007.0.0.d", "00000007.0.1.o"]);
    assert_eq!((board.figures().answered, board.figures().deleted), (3, 3));
    board.stop();
    settle(&mut board, &mut relay, begin());
    assert!(board.are_over());
}

#[test]
fn a_call_is_held_for_its_time_and_then_deleted() {
    let (mut board, mut relay) = (board(1, window(1), Course::Again(20 * MS)), Relay::default());
    settle(&mut board, &mut relay, begin());
    settle(&mut board, &mut relay, begin().after(19 * MS));
    assert_eq!(relay.commands, ["offer", "answer"]);
    settle(&mut board, &mut relay, begin().after(20 * MS));
    assert_eq!(relay.commands[2..], ["delete", "offer", "answer"]);
}

#[test]
fn a_command_without_answer_is_sent_again_and_fails_in_the_end() {
    let mut board = board(1, window(1), Course::Stay);
    let Timing { every, sent_max } = Timing::default();
    let mut sent = Vec::new();
    for attempt in 0..=sent_max {
        sent.extend(due(&mut board, begin().after(every * attempt)));
    }
    assert_eq!(sent.len(), sent_max as usize);
    assert!(sent.iter().all(|datagram| *datagram == sent[0]), "the same octets");
    assert!(board.are_over() && board.is_deaf());
    assert_eq!(board.figures().failures.get("offer: no answer"), Some(&1));
    assert_eq!(board.figures().repeated, u64::from(sent_max) - 1);
}

#[test]
fn what_is_refused_is_counted_by_reason_and_half_a_call_is_ended() {
    for (refused, commands) in [("offer", &["offer"][..]), ("answer", &["offer", "answer", "delete"])] {
        let (mut board, mut relay) = (board(1, window(1), Course::Stay), Relay::default());
        relay.refuse = Some(refused);
        settle(&mut board, &mut relay, begin());
        assert!(board.are_over(), "{refused}");
        assert_eq!(relay.commands, commands);
        assert_eq!(board.figures().failures.get(&format!("{refused}: full")), Some(&1));
    }
}

#[test]
fn a_late_or_forged_answer_changes_nothing() {
    let (mut board, mut relay) = (board(1, window(1), Course::Stay), Relay::default());
    let offer = due(&mut board, begin()).remove(0);
    let answer = relay.answer(&offer);
    let mut forged = answer.clone();
    forged[7] = b'8';
    board.handle(&forged, begin());
    board.handle(b"rubbish", begin());
    assert_eq!((board.figures().unexpected, due(&mut board, begin()).len()), (2, 0));
    board.handle(&answer, begin());
    board.handle(&answer, begin());
    assert_eq!((board.figures().unexpected, due(&mut board, begin()).len()), (3, 1));
}

#[test]
fn calls_on_their_way_when_all_is_stopped_are_deleted_once_they_are_up() {
    let (mut board, mut relay) = (board(3, window(1), Course::Stay), Relay::default());
    let offer = due(&mut board, begin()).remove(0);
    board.stop();
    board.handle(&relay.answer(&offer), begin());
    settle(&mut board, &mut relay, begin());
    assert!(board.are_over());
    assert_eq!(relay.commands, ["offer", "answer", "delete"]);
}

#[test]
fn reasons_beyond_a_limit_are_counted_together() {
    let mut figures = Figures::default();
    for number in 0..1000 {
        figures.fail(Stage::Offer, &format!("reason {number}"));
    }
    assert_eq!(figures.failures.len(), crate::limits::REASONS_MAX + 1);
    assert_eq!(figures.failures.values().sum::<u64>(), 1000);
}
