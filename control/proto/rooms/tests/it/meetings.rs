//! Meetings: by example, and by any sequence of requests against a data plane that believes what it is told.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use raceway_dtls::{Certificate, Identity};
use raceway_rooms::connections::ConnectionId;
use raceway_rooms::meetings::{Created, Media, Meetings, Output, SessionName, Settings};
use raceway_rooms::negotiation::Codec;
use raceway_rooms::{Grants, IceServer, ParticipantId, Refusal, Role, RoomName, RoomScope, TrackId};
use raceway_units::{Instant, UnixTime};
use serde_json::{Value, json};

use super::tokens::grants;

const PUBLISH: &str = include_str!("../../corpus/publish-chromium.sdp");
const PLAY: &str = include_str!("../../corpus/play-chromium.sdp");

fn at(ms: u64) -> Instant {
    Instant::from_ns(1_000_000_000 + ms * 1_000_000)
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a name")
}

fn who(identity: &str) -> Grants {
    grants(identity, RoomScope::Any)
}

fn identity() -> Identity {
    use std::sync::OnceLock;
    static ONE: OnceLock<Identity> = OnceLock::new();
    let make = || Identity::new(&Certificate::generate(UnixTime(1_700_000_000)).expect("made")).expect("made");
    ONE.get_or_init(make).clone()
}

fn settings() -> Settings {
    let rooms = raceway_rooms::Settings { tracks_per_participant: 4, participants_per_room: 5, ..Default::default() };
    Settings {
        rooms,
        addresses: vec![SocketAddr::from(([203, 0, 113, 1], 7000))],
        preferred: vec![Codec::Vp8],
        helpers: vec![IceServer { url: "stun:192.0.2.1:3478".to_owned(), credentials: None }],
        resume_for: Duration::from_secs(10),
    }
}

/// The machine, and what came out of it, by kind.
struct World {
    meetings: Meetings,
    now: Instant,
    media: Vec<Media>,
    messages: BTreeMap<u32, Vec<Value>>,
    hung_up: Vec<ParticipantId>,
}

impl World {
    fn new() -> Self {
        let mut counter = 0_u64;
        let random = move |octets: &mut [u8]| {
            counter += 1;
            let mut mixed = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for octet in octets {
                mixed = mixed.rotate_left(9).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ counter;
                *octet = (mixed >> 32) as u8;
            }
        };
        let mut meetings = Meetings::new(settings(), vec![SocketAddr::from(([10, 0, 0, 1], 7000))], Box::new(random));
        meetings.set_identity(identity()).expect("hashed");
        Self { meetings, now: at(0), media: Vec::new(), messages: BTreeMap::new(), hung_up: Vec::new() }
    }

    fn drain(&mut self) {
        while let Some(output) = self.meetings.poll_output() {
            match output {
                Output::Message { to, text } => {
                    let message = serde_json::from_str(&text).expect("JSON");
                    self.messages.entry(to.0).or_default().push(message);
                }
                Output::Hangup { to } => self.hung_up.push(to),
                Output::Media(media) => self.media.push(media),
                Output::Transmit(_) | Output::Event(_) => {}
            }
        }
    }

    fn create(&mut self, identity: &str, role: Role, sdp: &str) -> Result<Created, Refusal> {
        let created = self.meetings.create(self.now, &who(identity), &room("r"), role, sdp.as_bytes());
        self.drain();
        created
    }

    fn join(&mut self, identity: &str) -> ParticipantId {
        let id = self.meetings.join(self.now, &who(identity), &room("r"), None, None).expect("let in");
        self.drain();
        id
    }

    fn say(&mut self, id: ParticipantId, message: &Value) {
        self.meetings.handle_message(self.now, id, &message.to_string());
        self.drain();
    }

    /// What a member was told since the last time.
    fn heard(&mut self, id: ParticipantId) -> Vec<Value> {
        self.messages.remove(&id.0).unwrap_or_default()
    }

    fn media(&mut self) -> Vec<Media> {
        core::mem::take(&mut self.media)
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
        self.meetings.handle_timeout(self.now);
        self.drain();
    }
}

/// What of it is a message of this type.
fn only<'a>(messages: &'a [Value], kind: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["type"] == kind).collect()
}

/// As a browser answers: it receives, and opens DTLS.
fn answer_to(offer: &Value) -> Value {
    let sdp = offer["sdp"].as_str().expect("text").replace("sendonly", "recvonly").replace("actpass", "active");
    json!({"type": "answer", "sdp": sdp})
}

fn publish() -> Value {
    let tracks = json!([{"mid": "0", "kind": "microphone"}, {"mid": "1", "kind": "screen"}]);
    json!({"type": "publish", "sdp": PUBLISH, "tracks": tracks})
}

fn sends(media: &[Media]) -> Vec<(ConnectionId, TrackId)> {
    let of = |media: &Media| match media {
        Media::Send { connection, track, .. } => Some((*connection, *track)),
        _ => None,
    };
    media.iter().filter_map(of).collect()
}

fn receives(media: &[Media]) -> Vec<TrackId> {
    let of = |media: &Media| match media {
        Media::Receive { track, .. } => Some(*track),
        _ => None,
    };
    media.iter().filter_map(of).collect()
}

#[test]
fn a_player_gets_what_is_published_already() {
    let mut world = World::new();
    world.create("cam", Role::Publish, PUBLISH).expect("created");
    let tracks = receives(&world.media());
    assert_eq!(tracks.len(), 2);
    let created = world.create("tv", Role::Play, PLAY).expect("created");
    let sent: Vec<_> = sends(&world.media()).into_iter().map(|(_, track)| track).collect();
    assert_eq!(sent, tracks);
    assert!(created.sdp.contains("a=msid:p1 t1\r\n") && created.sdp.contains("203.0.113.1"));
}

#[test]
fn a_player_that_came_first_gets_what_is_published_then_and_again_after_a_break() {
    let mut world = World::new();
    world.create("tv", Role::Play, PLAY).expect("created");
    assert_eq!(sends(&world.media()), []);
    for _ in 0..2 {
        let created = world.create("cam", Role::Publish, PUBLISH).expect("created");
        let media = world.media();
        let sent: Vec<_> = sends(&media).into_iter().map(|(_, track)| track).collect();
        assert_eq!(sent, receives(&media));
        world.meetings.delete(world.now, &who("cam"), &created.session).expect("its own");
        world.drain();
        let media = world.media();
        let unsent = media.iter().filter(|media| matches!(media, Media::Unsend { .. })).count();
        assert_eq!((unsent, media.last().is_some()), (2, true));
    }
}

#[test]
fn members_are_offered_what_others_publish_once_they_have_answered_the_last_offer() {
    let mut world = World::new();
    let (a, b) = (world.join("a"), world.join("b"));
    assert_eq!(only(&world.heard(a), "participant_joined").len(), 1);
    world.say(a, &publish());
    let told = world.heard(a);
    let numbers = &only(&told, "published")[0]["tracks"];
    assert_eq!(numbers.as_array().map(Vec::len), Some(2));
    let told = world.heard(b);
    assert_eq!(only(&told, "track_published")[1]["track"]["kind"], "screen");
    let offers = only(&told, "offer");
    assert_eq!(offers.len(), 1, "both in one: {told:?}");
    assert_eq!(offers[0]["tracks"].as_array().map(Vec::len), Some(2));
    assert_eq!(sends(&world.media()), [], "nothing before the answer");
    // Another one publishes while the answer is awaited.
    let c = world.join("c");
    world.say(c, &publish());
    assert_eq!(only(&world.heard(b), "offer").len(), 0);
    world.say(b, &answer_to(offers[0]));
    assert_eq!(sends(&world.media()).len(), 2);
    let told = world.heard(b);
    let offers = only(&told, "offer");
    assert_eq!(offers[0]["tracks"].as_array().map(Vec::len), Some(4));
    world.say(b, &answer_to(offers[0]));
    assert_eq!(sends(&world.media()).len(), 2, "the two that are new");
    // What goes away is told, taken out, and its place is offered as inactive.
    world.say(a, &json!({"type": "unpublish", "track": numbers[0]}));
    let media = world.media();
    let unsent =
        media.iter().filter(|media| matches!(media, Media::Unsend { track, .. } if json!(track) == numbers[0]));
    assert_eq!(unsent.count(), 1);
    let told = world.heard(b);
    let offer = only(&told, "offer")[0];
    assert_eq!(offer["tracks"].as_array().map(Vec::len), Some(3));
    assert_eq!(offer["sdp"].as_str().map(|sdp| sdp.matches("a=inactive").count()), Some(1));
}

#[test]
fn whoever_leaves_takes_all_of_theirs_along() {
    let mut world = World::new();
    let (a, b) = (world.join("a"), world.join("b"));
    world.say(a, &publish());
    let told = world.heard(b);
    world.say(b, &answer_to(only(&told, "offer")[0]));
    world.media();
    world.heard(a);
    world.say(a, &json!({"type": "leave"}));
    assert_eq!((only(&world.heard(a), "bye")[0]["why"].as_str(), &world.hung_up[..]), (Some("left"), &[a][..]));
    let media = world.media();
    let count = |wanted: fn(&Media) -> bool| media.iter().filter(|media| wanted(media)).count();
    assert_eq!(count(|media| matches!(media, Media::Unsend { .. })), 2);
    assert_eq!(count(|media| matches!(media, Media::Unreceive { .. })), 2);
    assert_eq!(count(|media| matches!(media, Media::Closed { .. })), 1);
    assert_eq!(only(&world.heard(b), "participant_left").len(), 1);
}

#[test]
fn a_member_whose_signalling_broke_comes_back_to_what_it_had() {
    let mut world = World::new();
    let (a, b) = (world.join("a"), world.join("b"));
    let welcome = world.heard(b);
    let resume = only(&welcome, "joined")[0]["resume"].as_str().expect("text").to_owned();
    world.say(a, &publish());
    world.heard(b);
    world.meetings.disconnected(world.now, b);
    world.pass(9_000);
    let again = |world: &mut World, identity: &str, resume: &str| {
        let id = world.meetings.join(world.now, &who(identity), &room("r"), None, Some(resume)).expect("let in");
        world.drain();
        id
    };
    assert_eq!(again(&mut world, "b", &resume), b);
    let told = world.heard(b);
    assert_eq!(only(&told, "joined")[0]["participants"].as_array().map(Vec::len), Some(2));
    assert_eq!(only(&told, "offer").len(), 1, "what was on its way is said again");
    world.pass(20_000);
    assert!(!world.hung_up.contains(&b), "it is back");
    assert_ne!(again(&mut world, "thief", &resume), b, "somebody else with the same words");
    world.meetings.disconnected(world.now, b);
    world.pass(10_000);
    assert!(world.hung_up.contains(&b));
    assert_ne!(again(&mut world, "b", &resume), b, "too late");
}

#[test]
fn a_connection_that_never_came_is_told_and_can_be_made_again() {
    let mut world = World::new();
    let a = world.join("a");
    world.say(a, &publish());
    world.heard(a);
    world.pass(31_000);
    assert_eq!(only(&world.heard(a), "error")[0]["code"], "connection_lost");
    assert!(world.media().iter().any(|media| matches!(media, Media::Closed { .. })));
    world.say(a, &publish());
    assert_eq!(only(&world.heard(a), "published")[0]["tracks"].as_array().map(Vec::len), Some(2));
    let created = world.create("cam", Role::Publish, PUBLISH).expect("created");
    world.pass(31_000);
    let gone = world.meetings.delete(world.now, &who("cam"), &created.session);
    assert_eq!(gone, Err(Refusal::Gone("session")));
}

#[test]
fn what_is_refused_changes_nothing_and_says_why() {
    let mut world = World::new();
    let a = world.join("a");
    world.heard(a);
    world.media();
    let three = json!([{"type": "answer", "sdp": PUBLISH}, {"type": "mute", "track": 9, "muted": true},
        {"type": "want", "track": 1, "width": 1, "height": 1}, {"type": "join", "room": "r", "token": "t"},
        {"type": "publish", "sdp": PLAY}, {"type": "publish", "sdp": "x"}, {"type": "moderate", "track": 1, "muted": true},
        {"type": "remove", "participant": 1}, {"type": "nonsense"}]);
    for message in three.as_array().expect("a list") {
        world.say(a, message);
        let told = world.heard(a);
        assert_eq!((told.len(), &told[0]["type"]), (1, &json!("error")), "{message}: {told:?}");
    }
    let opened = world.media().into_iter().filter(|media| !matches!(media, Media::Closed { .. })).count();
    assert_eq!(opened, 0);
    assert_eq!(world.create("x", Role::Publish, PLAY).map_err(|refusal| refusal.status()).err(), Some(422));
    assert_eq!(world.meetings.rooms().participants(&room("r")).len(), 1);
    let mut fresh = Meetings::new(settings(), vec![], Box::new(|_: &mut [u8]| {}));
    let early = fresh.create(at(0), &who("a"), &room("r"), Role::Publish, PUBLISH.as_bytes());
    assert_eq!(early.map_err(|refusal| refusal.status()).err(), Some(503), "there is no certificate yet");
}

#[test]
fn a_session_is_changed_by_whose_it_is_with_its_tag() {
    let mut world = World::new();
    let created = world.create("cam", Role::Publish, PUBLISH).expect("created");
    let restart = b"a=ice-ufrag:newU\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
    let mut change = |identity: &str, if_match: Option<&str>, body: &[u8]| {
        world
            .meetings
            .change(at(1), &who(identity), &created.session, if_match, body)
            .map_err(|refusal| refusal.status())
    };
    assert_eq!(change("other", Some("*"), restart), Err(403));
    assert_eq!(change("cam", None, restart), Err(428));
    let tag = created.tag.to_string();
    assert_eq!(change("cam", Some(&tag), b"a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"), Ok(None));
    let (other, fragment) = change("cam", Some("*"), restart).expect("restarted").expect("an answer");
    assert_ne!(other, created.tag);
    assert!(fragment.contains("a=ice-ufrag:") && fragment.contains("203.0.113.1 7000 typ host"), "{fragment}");
    assert_eq!(change("cam", Some(&tag), b""), Err(412), "the old tag is of before");
    assert_eq!(change("cam", Some(&other.to_string()), b""), Ok(None));
    let unknown = world.meetings.delete(at(1), &who("cam"), &SessionName::of("x"));
    assert_eq!(unknown, Err(Refusal::Gone("session")));
    assert_eq!(
        world.meetings.delete(at(1), &who("other"), &created.session).map_err(|refusal| refusal.status()),
        Err(403)
    );
}

#[test]
fn a_publisher_that_restarts_ice_keeps_its_tracks() {
    let mut world = World::new();
    let a = world.join("a");
    world.say(a, &publish());
    let first = only(&world.heard(a), "published")[0]["sdp"].clone();
    let ufrag = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=ice-ufrag")).expect("there").to_owned();
    let again = PUBLISH.replace(&ufrag(PUBLISH), "a=ice-ufrag:another");
    world.say(a, &json!({"type": "publish", "sdp": again}));
    let told = world.heard(a);
    let published = only(&told, "published")[0];
    assert_eq!(published["tracks"].as_array().map(Vec::len), Some(0));
    assert_ne!(ufrag(published["sdp"].as_str().expect("text")), ufrag(first.as_str().expect("text")));
    assert_eq!(receives(&world.media()).len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Whip(u8),
    Whep(u8),
    Delete(u8),
    Publish(u8),
    Unpublish { who: u8, track: u8 },
    Answer(u8),
    Leave(u8),
    Break(u8),
    Pass(u16),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8).prop_map(Step::Join),
        2 => (0..3_u8).prop_map(Step::Whip),
        2 => (0..3_u8).prop_map(Step::Whep),
        1 => (0..8_u8).prop_map(Step::Delete),
        3 => (0..8_u8).prop_map(Step::Publish),
        1 => (0..8_u8, 0..12_u8).prop_map(|(who, track)| Step::Unpublish { who, track }),
        5 => (0..8_u8).prop_map(Step::Answer),
        1 => (0..8_u8).prop_map(Step::Leave),
        1 => (0..8_u8).prop_map(Step::Break),
        1 => (0..40_000_u16).prop_map(Step::Pass),
        1 => Just(Step::End),
    ]
}

/// A data plane that does what it is told, and complains when that makes no sense.
#[derive(Default)]
struct Plane {
    incoming: BTreeMap<TrackId, ConnectionId>,
    outgoing: BTreeSet<(ConnectionId, TrackId)>,
    closed: BTreeSet<ConnectionId>,
}

impl Plane {
    fn obey(&mut self, media: Media) {
        match media {
            Media::Receive { connection, track, .. } => {
                assert!(!self.closed.contains(&connection));
                assert_eq!(self.incoming.insert(track, connection), None);
            }
            Media::Unreceive { track } => {
                assert!(self.incoming.remove(&track).is_some());
                assert!(self.outgoing.iter().all(|(_, other)| *other != track), "told of before");
            }
            Media::Send { connection, track, section } => {
                assert!(!self.closed.contains(&connection) && self.incoming.contains_key(&track));
                assert_ne!(self.incoming[&track], connection, "nobody gets their own");
                assert!(self.outgoing.insert((connection, track)));
                assert_ne!(section.stream.rtx_ssrc, Some(section.stream.ssrc));
            }
            Media::Unsend { connection, track } => assert!(self.outgoing.remove(&(connection, track))),
            Media::Closed { connection } => {
                assert!(self.closed.insert(connection));
                self.outgoing.retain(|(other, _)| *other != connection);
                assert!(self.incoming.values().all(|other| *other != connection), "its tracks went before");
            }
            Media::At { .. } | Media::Keyed { .. } | Media::Want { .. } | Media::Silence { .. } => {}
        }
    }
}

proptest! {
    /// Whatever is asked, in whatever order: the data plane is told nothing that makes no sense, and when everybody has gone
    /// nothing is left.
    #[test]
    fn the_data_plane_is_told_what_makes_sense(steps in proptest::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        let mut plane = Plane::default();
        let (mut members, mut sessions): (Vec<ParticipantId>, Vec<(String, SessionName)>) = Default::default();
        let mut offers: BTreeMap<u32, Value> = BTreeMap::new();
        let admin = Grants { admin: true, ..who("boss") };
        let some = |members: &[ParticipantId], who: u8| {
            members.get(usize::from(who) % members.len().max(1)).copied().unwrap_or(ParticipantId(0))
        };
        for step in steps {
            match step {
                Step::Join(who_is) => {
                    let joined = world.meetings.join(world.now, &who(&format!("m{who_is}")), &room("r"), None, None);
                    members.extend(joined);
                }
                Step::Whip(who_is) | Step::Whep(who_is) => {
                    let (role, sdp) = match step {
                        Step::Whip(_) => (Role::Publish, PUBLISH),
                        _ => (Role::Play, PLAY),
                    };
                    let identity = format!("h{who_is}");
                    if let Ok(created) = world.create(&identity, role, sdp) {
                        sessions.push((identity, created.session));
                    }
                }
                Step::Delete(which) => {
                    if let Some((identity, name)) = sessions.get(usize::from(which)) {
                        let _ = world.meetings.delete(world.now, &who(identity), name);
                    }
                }
                Step::Publish(who_is) => world.say(some(&members, who_is), &publish()),
                Step::Unpublish { who: who_is, track } => {
                    world.say(some(&members, who_is), &json!({"type": "unpublish", "track": track}));
                }
                Step::Answer(who_is) => {
                    let id = some(&members, who_is);
                    if let Some(offer) = offers.remove(&id.0) {
                        world.say(id, &answer_to(&offer));
                    }
                }
                Step::Leave(who_is) => world.say(some(&members, who_is), &json!({"type": "leave"})),
                Step::Break(who_is) => world.meetings.disconnected(world.now, some(&members, who_is)),
                Step::Pass(ms) => world.pass(ms.into()),
                Step::End => {
                    let _ = world.meetings.moderate(world.now, |rooms| rooms.end(&admin, &room("r")));
                }
            }
            world.drain();
            for (id, messages) in &world.messages {
                let open = messages.iter().filter(|message| message["type"] == "offer").count();
                prop_assert!(open <= 1 || !offers.contains_key(id));
                if let Some(offer) = messages.iter().rfind(|message| message["type"] == "offer") {
                    offers.insert(*id, offer.clone());
                }
            }
            world.messages.clear();
            world.media().into_iter().for_each(|media| plane.obey(media));
        }
        let _ = world.meetings.moderate(world.now, |rooms| rooms.end(&admin, &room("r")));
        world.drain();
        world.media().into_iter().for_each(|media| plane.obey(media));
        prop_assert!(plane.incoming.is_empty() && plane.outgoing.is_empty());
        prop_assert_eq!(world.meetings.poll_timeout(), None);
    }
}
