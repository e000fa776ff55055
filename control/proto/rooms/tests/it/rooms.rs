//! What becomes of rooms: by example, and by any sequence of requests against the rules written down once more.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;
use raceway_rooms::{
    Event, Grants, ParticipantId, Properties, Refusal, RoomName, RoomScope, Rooms, Settings, Source, TrackId,
    TrackKind, Why,
};
use raceway_units::Instant;

use super::tokens::grants;

const NOW: Instant = Instant::from_ns(1_000_000_000);

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a name")
}

fn anybody(identity: &str) -> Grants {
    grants(identity, RoomScope::Any)
}

fn admin() -> Grants {
    Grants { admin: true, ..anybody("boss") }
}

fn events(rooms: &mut Rooms) -> Vec<Event> {
    std::iter::from_fn(|| rooms.poll_event()).collect()
}

fn join(rooms: &mut Rooms, grants: &Grants, name: &str, source: Source) -> Result<ParticipantId, Refusal> {
    rooms.join(NOW, grants, &room(name), None, source)
}

#[test]
fn whoever_comes_first_makes_the_room_unless_rooms_are_made_before() {
    let mut rooms = Rooms::new(Settings::default());
    let id = join(&mut rooms, &anybody("a"), "r", Source::Meeting).expect("let in");
    assert!(
        matches!(&events(&mut rooms)[..], [Event::RoomStarted { .. }, Event::ParticipantJoined { participant, .. }] if participant.id == id)
    );
    let mut rooms = Rooms::new(Settings { is_made_by_first: false, ..Settings::default() });
    assert_eq!(join(&mut rooms, &anybody("a"), "r", Source::Meeting), Err(Refusal::NoRoom(room("r"))));
    rooms.create(NOW, &admin(), &room("r"), &Properties::default()).expect("made");
    assert!(join(&mut rooms, &anybody("a"), "r", Source::Meeting).is_ok());
}

#[test]
fn a_grant_is_for_its_room_and_for_what_it_says() {
    let mut rooms = Rooms::new(Settings::default());
    let one = grants("a", RoomScope::One(room("r")));
    assert!(join(&mut rooms, &one, "r", Source::Meeting).is_ok());
    assert_eq!(join(&mut rooms, &one, "s", Source::Meeting).map_err(|refusal| refusal.status()), Err(403));
    let sends = Grants { subscribe: false, ..anybody("b") };
    let plays = Grants { publish: false, ..anybody("c") };
    let none = Grants { publish: false, ..sends.clone() };
    let mut status =
        |grants: &Grants, source| join(&mut rooms, grants, "r", source).map_err(|refusal| refusal.status()).err();
    assert_eq!((status(&sends, Source::Whip), status(&sends, Source::Whep)), (None, Some(403)));
    assert_eq!((status(&plays, Source::Whep), status(&plays, Source::Whip)), (None, Some(403)));
    assert_eq!((status(&sends, Source::Meeting), status(&none, Source::Meeting)), (None, Some(403)));
    let id = join(&mut rooms, &plays, "r", Source::Meeting).expect("let in");
    let tracks = [(TrackKind::Camera, "0".to_owned())];
    assert_eq!(rooms.publish(id, &tracks).map_err(|refusal| refusal.status()), Err(403));
}

#[test]
fn who_publishes_by_http_does_so_once() {
    let mut rooms = Rooms::new(Settings::default());
    let first = join(&mut rooms, &anybody("cam"), "r", Source::Whip).expect("let in");
    assert_eq!(join(&mut rooms, &anybody("cam"), "r", Source::Whip), Err(Refusal::Publishes("cam".to_owned())));
    assert!(join(&mut rooms, &anybody("cam"), "s", Source::Whip).is_ok(), "in another room");
    assert!(join(&mut rooms, &anybody("cam"), "r", Source::Whep).is_ok(), "playing is something else");
    rooms.leave(NOW, first, Why::Left);
    assert!(join(&mut rooms, &anybody("cam"), "r", Source::Whip).is_ok());
    let shared = Grants { is_shared: true, ..anybody("obs") };
    assert!(join(&mut rooms, &shared, "r", Source::Whip).and(join(&mut rooms, &shared, "r", Source::Whip)).is_ok());
}

#[test]
fn limits_are_of_the_node_the_room_the_token_and_the_participant() {
    let settings = Settings {
        rooms_max: 2,
        participants_max: 4,
        participants_per_room: 3,
        participants_per_identity: 2,
        tracks_per_participant: 2,
        ..Settings::default()
    };
    let mut rooms = Rooms::new(settings);
    let full = |what, most| Err(Refusal::Full { what, most });
    let a = join(&mut rooms, &anybody("a"), "r", Source::Meeting).expect("let in");
    join(&mut rooms, &anybody("a"), "r", Source::Meeting).expect("twice");
    assert_eq!(join(&mut rooms, &anybody("a"), "r", Source::Meeting), full("participants with this token", 2));
    rooms.leave(NOW, a, Why::Left);
    let a = join(&mut rooms, &anybody("a"), "r", Source::Meeting).expect("one has left");
    join(&mut rooms, &anybody("b"), "r", Source::Meeting).expect("the third");
    assert_eq!(join(&mut rooms, &anybody("c"), "r", Source::Meeting), full("participants in this room", 3));
    rooms.create(NOW, &admin(), &room("s"), &Properties::default()).expect("the second");
    assert_eq!(join(&mut rooms, &anybody("c"), "t", Source::Meeting), full("rooms on this node", 2));
    join(&mut rooms, &anybody("c"), "s", Source::Meeting).expect("the fourth");
    assert_eq!(join(&mut rooms, &anybody("d"), "s", Source::Meeting), full("participants on this node", 4));
    events(&mut rooms);
    let three: Vec<_> = (0..3).map(|mid| (TrackKind::Camera, mid.to_string())).collect();
    assert_eq!(rooms.publish(a, &three).map(|_| ()), full("tracks of a participant", 2).map(|_: ParticipantId| ()));
    assert_eq!(events(&mut rooms), [], "a refused request changes nothing");
    assert_eq!(rooms.publish(a, &three[..2]).map(|tracks| tracks.len()), Ok(2));
}

#[test]
fn what_a_moderator_mutes_its_publisher_cannot_unmute() {
    let mut rooms = Rooms::new(Settings::default());
    let id = join(&mut rooms, &anybody("a"), "r", Source::Meeting).expect("let in");
    let track = rooms.publish(id, &[(TrackKind::Microphone, "0".to_owned())]).expect("published")[0];
    assert_eq!(rooms.moderate(&anybody("a"), &room("r"), track, true).map_err(|refusal| refusal.status()), Err(403));
    rooms.moderate(&admin(), &room("r"), track, true).expect("muted");
    assert_eq!(rooms.mute(id, track, false).map_err(|refusal| refusal.status()), Err(403));
    events(&mut rooms);
    rooms.moderate(&admin(), &room("r"), track, false).expect("may again");
    rooms.mute(id, track, false).expect("does");
    let muted: Vec<_> = events(&mut rooms)
        .into_iter()
        .map(|event| match event {
            Event::TrackMuted { track, .. } => (track.is_muted, track.is_muted_by_moderator),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(muted, [(true, false), (false, false)]);
    rooms.mute(id, track, false).expect("the same again");
    assert_eq!(events(&mut rooms), [], "and nobody is told");
}

#[test]
fn an_empty_room_ends_by_itself_and_one_with_somebody_in_it_does_not() {
    let mut rooms = Rooms::new(Settings { empty_for: Duration::from_secs(5), ..Settings::default() });
    let id = join(&mut rooms, &anybody("a"), "r", Source::Meeting).expect("let in");
    assert_eq!(rooms.poll_timeout(), None);
    rooms.handle_timeout(NOW.after(Duration::from_secs(3600)));
    rooms.leave(NOW, id, Why::Left);
    assert_eq!(rooms.poll_timeout(), Some(NOW.after(Duration::from_secs(5))));
    rooms.handle_timeout(NOW.after(Duration::from_millis(4999)));
    assert_eq!(rooms.rooms().count(), 1);
    rooms.handle_timeout(NOW.after(Duration::from_secs(5)));
    assert_eq!((rooms.rooms().count(), events(&mut rooms).pop()), (0, Some(Event::RoomEnded { room: room("r") })));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Join { who: u8, place: u8, source: Source },
    Leave(u8),
    Publish { who: u8, tracks: u8 },
    Unpublish { who: u8, track: u8 },
    Remove(u8),
    End(u8),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![Just(Source::Meeting), Just(Source::Whip), Just(Source::Whep)];
    prop_oneof![
        4 => (0..4_u8, 0..3_u8, source).prop_map(|(who, place, source)| Step::Join { who, place, source }),
        2 => (0..12_u8).prop_map(Step::Leave),
        2 => (0..12_u8, 1..4_u8).prop_map(|(who, tracks)| Step::Publish { who, tracks }),
        1 => (0..12_u8, 0..20_u8).prop_map(|(who, track)| Step::Unpublish { who, track }),
        1 => (0..12_u8).prop_map(Step::Remove),
        1 => (0..3_u8).prop_map(Step::End),
        1 => (0..9_u8).prop_map(Step::Pass),
    ]
}

/// What somebody knows who only hears the events.
#[derive(Default)]
struct Listener {
    rooms: BTreeMap<String, BTreeMap<u32, Vec<u32>>>,
}

impl Listener {
    fn hear(&mut self, event: Event) {
        match event {
            Event::RoomStarted { room } => assert!(self.rooms.insert(room.to_string(), BTreeMap::new()).is_none()),
            Event::RoomEnded { room } => assert_eq!(self.rooms.remove(room.as_str()).map(|left| left.len()), Some(0)),
            Event::ParticipantJoined { room, participant } => {
                assert!(participant.tracks.is_empty());
                assert!(self.place(&room).insert(participant.id.0, Vec::new()).is_none());
            }
            Event::ParticipantLeft { room, participant, .. } => {
                assert!(self.place(&room).remove(&participant.0).is_some());
            }
            Event::TrackPublished { room, participant, track } => self.tracks(&room, participant).push(track.id.0),
            Event::TrackUnpublished { room, participant, track } => {
                let tracks = self.tracks(&room, participant);
                let at = tracks.iter().position(|known| *known == track.0).expect("it was published");
                tracks.remove(at);
            }
            Event::TrackMuted { .. } => {}
        }
    }

    fn place(&mut self, room: &RoomName) -> &mut BTreeMap<u32, Vec<u32>> {
        self.rooms.get_mut(room.as_str()).expect("it has started")
    }

    fn tracks(&mut self, room: &RoomName, participant: ParticipantId) -> &mut Vec<u32> {
        self.place(room).get_mut(&participant.0).expect("it has joined")
    }
}

proptest! {
    /// Whatever is asked: who only hears the events knows what is, the limits hold, and a number is never used twice.
    #[test]
    fn events_tell_all_that_is(steps in proptest::collection::vec(step(), 0..120)) {
        let settings = Settings {
            rooms_max: 2, participants_max: 6, participants_per_room: 4, participants_per_identity: 3,
            tracks_per_participant: 3, empty_for: Duration::from_secs(5), ..Settings::default()
        };
        let mut rooms = Rooms::new(settings);
        let mut listener = Listener::default();
        let (mut now, mut ids, mut seen) = (NOW, Vec::new(), Vec::new());
        let some = |ids: &[ParticipantId], who: u8| ids.get(usize::from(who)).copied().unwrap_or(ParticipantId(u32::MAX));
        for step in steps {
            match step {
                Step::Join { who, place, source } => {
                    let (grants, name) = (anybody(&format!("p{who}")), room(&format!("r{place}")));
                    if let Ok(id) = rooms.join(now, &grants, &name, None, source) {
                        prop_assert!(!ids.contains(&id));
                        ids.push(id);
                    }
                }
                Step::Leave(who) => rooms.leave(now, some(&ids, who), Why::Left),
                Step::Publish { who, tracks } => {
                    let tracks: Vec<_> = (0..tracks).map(|mid| (TrackKind::Camera, mid.to_string())).collect();
                    for track in rooms.publish(some(&ids, who), &tracks).unwrap_or_default() {
                        prop_assert!(!seen.contains(&track));
                        seen.push(track);
                    }
                }
                Step::Unpublish { who, track } => {
                    let track = seen.get(usize::from(track)).copied().unwrap_or(TrackId(u32::MAX));
                    let _ = rooms.unpublish(some(&ids, who), track);
                }
                Step::Remove(who) => {
                    let names: Vec<_> = rooms.rooms().map(|(name, ..)| name.clone()).collect();
                    names.iter().for_each(|name| { let _ = rooms.remove(now, &admin(), name, some(&ids, who)); });
                }
                Step::End(place) => { let _ = rooms.end(&admin(), &room(&format!("r{place}"))); }
                Step::Pass(seconds) => {
                    now = now.after(Duration::from_secs(seconds.into()));
                    rooms.handle_timeout(now);
                }
            }
            events(&mut rooms).into_iter().for_each(|event| listener.hear(event));
            let told: BTreeMap<_, BTreeMap<_, Vec<_>>> = rooms.rooms().map(|(name, ..)| {
                let inside = rooms.participants(name).iter();
                let inside = inside.map(|p| (p.id.0, p.tracks.iter().map(|track| track.id.0).collect())).collect();
                (name.to_string(), inside)
            }).collect();
            prop_assert_eq!(&told, &listener.rooms);
            prop_assert!(told.len() <= 2 && told.values().map(BTreeMap::len).sum::<usize>() <= 6);
            prop_assert!(told.values().all(|inside| inside.len() <= 4 && inside.values().all(|tracks| tracks.len() <= 3)));
        }
    }
}

/// Every code that a client may get stands in the table of `docs/rooms.md`, with its status.
#[test]
fn the_document_has_every_code() {
    use raceway_rooms::{FragmentError, NameError, TokenError};
    let text = include_str!("../../../../../docs/rooms.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5")).collect();
    let refusals = [
        Refusal::NoToken,
        Refusal::Token(TokenError::Unknown),
        Refusal::Token(TokenError::Expired(1)),
        Refusal::NoGrant { what: "publish", room: room("r") },
        Refusal::Name(NameError::Empty { what: "room name" }),
        Refusal::NoRoom(room("r")),
        Refusal::Gone("track"),
        Refusal::Full { what: "rooms", most: 1 },
        Refusal::Publishes(String::new()),
        Refusal::Exists(room("r")),
        Refusal::Method("POST"),
        Refusal::Type("application/sdp"),
        Refusal::Long(1),
        Refusal::NoEntityTag,
        Refusal::EntityTag(String::new()),
        Refusal::Description(String::new()),
        Refusal::Fragment(FragmentError::Encoding),
        Refusal::Message(String::new()),
        Refusal::Later("now"),
    ];
    let mut codes = 0;
    for refusal in refusals {
        let row = rows.iter().find(|row| row.contains(&format!("`{}`", refusal.code())));
        let row = row.unwrap_or_else(|| panic!("{} is not in the table", refusal.code()));
        assert!(row.starts_with(&format!("| {} |", refusal.status())), "{row}: {}", refusal.status());
        codes += 1;
    }
    let cells = rows.iter().map(|row| row.split('|').nth(2).map_or(0, |cell| cell.matches('`').count() / 2));
    assert_eq!(cells.sum::<usize>(), codes, "and no other");
}
