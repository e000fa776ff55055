//! Any commands in any order, with a relay that fails at times: both sides always know the same, and no port is lost.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use raceway_api::{LegEvent, OperationError, RelayPorts, SessionReport};
use raceway_dtls::{Certificate, Identity};
use raceway_media::options::{Family, Ice, Transport};
use raceway_media::{
    Answer, Calls, Change, Command, Consent, Delete, Interface, Offer, Options, Record, Recording, RequestId, Settings,
    Toggle,
};
use raceway_units::UnixTime;

use crate::world::*;

/// One for all worlds: it takes time to make.
fn identity() -> Identity {
    static IDENTITY: LazyLock<Identity> =
        LazyLock::new(|| Identity::new(&Certificate::generate(UnixTime(1_700_000_000)).unwrap()).unwrap());
    IDENTITY.clone()
}

/// Pairs of each address, so few that they run out.
const PAIRS: usize = 12;

fn small() -> Settings {
    let ports = RelayPorts { first: 30_000, last: 30_000 + PAIRS as u16 * 2 - 1 };
    let interface = |name: &str, address: &str| {
        let address = address.parse().unwrap();
        Interface { name: name.into(), address, advertised: address, ports }
    };
    Settings::new(vec![interface("int", "10.0.0.1"), interface("int", "2001:db8::1"), interface("ext", "10.0.1.1")])
}

#[derive(Clone, Debug)]
enum Step {
    Command(Box<Command>),
    /// The next command of the relay fails.
    Fail(OperationError),
    /// A leg settles somewhere.
    Learn(prop::sample::Index, bool),
    Pass(u64),
    /// The relay restarts.
    Reinstall,
    /// Control restarts.
    Restart,
    /// The connection breaks while commands are under way.
    Lose(Vec<Command>),
}

fn tag() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["alice", "bob", "carol", "dave"]).prop_map(str::to_owned)
}

fn branch() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.3, prop::sample::select(vec!["1".to_owned(), "2".to_owned()]))
}

fn call_id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["one".to_owned(), "two".to_owned(), "three".to_owned()])
}

fn sdp() -> impl Strategy<Value = Vec<u8>> {
    let line = |kind: &'static str| {
        (
            prop::sample::select(vec![0_u16, 4000, 4002, 5000]),
            prop::sample::select(vec!["RTP/AVP", "RTP/SAVP", "RTP/AVPF", "UDP/TLS/RTP/SAVPF"]),
        )
            .prop_map(move |(port, protocol)| {
                let keys = match protocol {
                    "RTP/SAVP" => "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
                    "UDP/TLS/RTP/SAVPF" => {
                        "a=setup:actpass\r\na=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13\r\n"
                    }
                    _ => "",
                };
                format!("m={kind} {port} {protocol} 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{keys}")
            })
    };
    let address = prop::sample::select(vec![
        "IP4 192.0.2.1",
        "IP4 192.0.2.2",
        "IP6 2001:db8:9::1",
        "IP4 0.0.0.0",
        "IP4 10.0.1.1",
    ]);
    let ice =
        "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n";
    let ice = prop::sample::select(vec![String::new(), String::new(), ice.to_owned(), ice.replace("abcd", "efgh")]);
    let group = prop::sample::select(vec!["", "", "a=group:BUNDLE 0 1\r\n", "a=group:BUNDLE 1 0\r\n"]);
    let only = prop::sample::select(vec!["", "", "a=bundle-only\r\n"]);
    let lines = (line("audio"), prop::option::of(line("video")), any::<[bool; 2]>(), ice, group, only);
    let good = (address, lines).prop_map(|(address, (audio, video, mux, ice, group, only))| {
        let mux = mux.map(|mux| if mux { "a=rtcp-mux\r\n" } else { "" });
        let video = video.map(|video| format!("{video}a=mid:1\r\n{}{only}", mux[1])).unwrap_or_default();
        let head = format!("v=0\r\no=- 1 1 IN {address}\r\ns=-\r\nc=IN {address}\r\nt=0 0\r\n{group}");
        format!("{head}{audio}a=mid:0\r\n{}{ice}{video}", mux[0]).into_bytes()
    });
    prop_oneof![20 => good, 1 => Just(b"v=0\r\n".to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

fn options() -> impl Strategy<Value = Options> {
    let transport =
        prop::option::of(prop::sample::select(vec!["RTP/AVP", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"]));
    let interface = || prop::option::weighted(0.3, prop::sample::select(vec!["int".to_owned(), "ext".to_owned()]));
    let family = prop::option::weighted(0.2, prop::sample::select(vec![Family::Ipv4, Family::Ipv6]));
    let ice = prop::option::weighted(0.3, prop::sample::select(vec![Ice::Remove, Ice::Force, Ice::ForceRelay]));
    (transport, interface(), interface(), family, ice, any::<[bool; 9]>()).prop_map(
        |(transport, from, to, family, ice, flags)| {
            let mut options = Options {
                transport: transport.map(|name| Transport::As(name.parse().unwrap())),
                interface_from: from,
                interface_to: to,
                address_family: family,
                asymmetric: flags[0],
                detect_dtmf: flags[1],
                ice,
                ..Options::default()
            };
            options.rtcp_mux.offer = flags[2];
            options.rtcp_mux.demux = flags[3];
            options.sdes.recrypt = flags[4];
            options.osrtp.accept = flags[5];
            options.bundle.offer = flags[6];
            options.bundle.require = flags[7];
            options.bundle.reject = flags[8] && flags[7];
            options
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let offer = (call_id(), tag(), prop::option::of(tag()), branch(), sdp(), options()).prop_map(
        |(call_id, from_tag, to_tag, via_branch, sdp, options)| {
            Command::Offer(Offer { call_id, from_tag, to_tag, via_branch, sdp, options })
        },
    );
    let answer = (call_id(), tag(), tag(), branch(), sdp(), options()).prop_map(
        |(call_id, from_tag, to_tag, via_branch, sdp, options)| {
            Command::Answer(Answer { call_id, from_tag, to_tag, via_branch, sdp, options })
        },
    );
    let delete = (call_id(), prop::option::of(tag()), branch(), prop::option::of(0..3_u64)).prop_map(
        |(call_id, from_tag, via_branch, delay)| {
            Command::Delete(Delete {
                call_id,
                from_tag,
                to_tag: None,
                via_branch,
                delay: delay.map(Duration::from_secs),
                discard: false,
            })
        },
    );
    let what = prop::sample::select(vec![Toggle::BlockMedia, Toggle::SilenceMedia, Toggle::BlockDtmf]);
    let change = (call_id(), prop::option::of(tag()), what, any::<bool>()).prop_map(|(call_id, from_tag, what, on)| {
        Command::Change(Change { call_id, from_tag, address: None, label: None, all: false, what, on })
    });
    let what = prop::sample::select(vec![
        Recording::Start,
        Recording::Pause,
        Recording::Stop { discard: false },
        Recording::Stop { discard: true },
    ]);
    let record = (call_id(), what, any::<bool>()).prop_map(|(call_id, what, given)| {
        let consent = Consent { given, metadata: "case:7".to_owned() };
        Command::Record(Record { call_id, what, consent })
    });
    prop_oneof![6 => offer, 6 => answer, 1 => delete, 1 => change, 1 => record]
}

fn step() -> impl Strategy<Value = Step> {
    let errors = vec![OperationError::SessionsFull, OperationError::FlowsFull, OperationError::AddressInUse];
    prop_oneof![
        20 => command().prop_map(|command| Step::Command(Box::new(command))),
        2 => prop::sample::select(errors).prop_map(Step::Fail),
        6 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(leg, rtcp)| Step::Learn(leg, rtcp)),
        1 => (0..100_u64).prop_map(Step::Pass),
        1 => Just(Step::Reinstall),
        1 => Just(Step::Restart),
        1 => prop::collection::vec(command(), 1..4).prop_map(Step::Lose),
    ]
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Command(command) => {
                let (before, is_told) = (self.snapshot(), !self.relay.failed);
                if self.command(*command).is_err() && is_told {
                    assert_eq!(self.snapshot(), before, "a refusal changes nothing");
                }
            }
            Step::Fail(error) => self.relay.fail = Some(error),
            Step::Learn(index, rtcp) => self.learn(&index, rtcp),
            Step::Pass(seconds) => {
                self.pass(Duration::from_secs(seconds));
                self.relay.failed &= seconds < 2;
            }
            Step::Reinstall => {
                self.relay.fail = None;
                self.relay.forget();
                self.calls.reinstall();
                self.settle();
            }
            Step::Restart => self.restart(),
            Step::Lose(commands) => {
                for command in commands {
                    self.give(command);
                }
                self.calls.relay_lost();
                while self.calls.poll_outcome().is_some() {}
                self.relay.fail = None;
                self.calls.reinstall();
                self.settle();
            }
        }
    }

    fn snapshot(&self) -> Vec<(raceway_api::SessionId, crate::relay::Session)> {
        self.relay.sessions.iter().map(|(id, session)| (*id, session.clone())).collect()
    }

    fn learn(&mut self, index: &prop::sample::Index, rtcp: bool) {
        let sessions = self.relay.sessions.iter();
        let legs: Vec<_> =
            sessions.flat_map(|(id, session)| session.legs.values().map(|leg| (*id, leg.clone()))).collect();
        if legs.is_empty() {
            return;
        }
        let (session, leg) = index.get(&legs);
        let path = if rtcp { leg.rtcp } else { Some(leg.rtp) };
        let Some(path) = path else { return };
        let remote = path.remote.unwrap_or_else(|| {
            address(if path.local.is_ipv4() { "198.51.100.7:7000" } else { "[2001:db8:7::7]:7000" })
        });
        // Each call has its own remote, as no two may have one 5-tuple: ours differ.
        let event = LegEvent::Learned { rtcp, remote, settled: true };
        self.calls.handle_leg_event(self.now, *session, leg.id, &event);
        self.settle();
    }

    fn restart(&mut self) {
        let reports: Vec<SessionReport<'static>> =
            self.relay.sessions.keys().filter_map(|session| self.relay.report(*session, true)).collect();
        self.relay.fail = None;
        self.calls = Calls::new(small(), random(7)).unwrap();
        self.calls.set_identity(identity()).unwrap();
        reports.iter().for_each(|report| self.calls.restore(report));
        // A call in which all media is refused has nothing that could remember its parties.
        let empty = reports.iter().filter(|report| report.legs.is_empty()).count();
        assert_eq!(self.calls.restore_end(self.now), empty, "all is understood");
        self.calls.reinstall();
        self.settle();
    }

    /// What the relay has is what it would be told if it had nothing.
    fn agree(&mut self) {
        self.relay.fail = None;
        // What the relay could not do is said again.
        self.pass(Duration::from_secs(2));
        let before = self.snapshot();
        assert_eq!(before.len(), self.calls.len());
        self.relay.forget();
        self.calls.reinstall();
        self.settle();
        assert!(self.snapshot() == before, "told anew: {:#?}\nbefore: {before:#?}", self.snapshot());
    }

    /// All ports are free once all calls are gone.
    fn lose_no_port(&mut self) {
        self.relay.fail = None;
        for call_id in ["one", "two", "three"] {
            self.calls.terminate(self.now, call_id);
        }
        self.settle();
        assert!(self.calls.is_empty() && self.relay.sessions.is_empty());
        // Ports that the relay said are another program's are let go after a while.
        self.pass(Duration::from_secs(120));
        self.calls.reconfigure(small()).unwrap();
        for call in 0..PAIRS / 2 {
            self.offer(Offer { call_id: call.to_string(), ..offer(body("192.0.2.1", 4000)) });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_always_know_the_same_and_no_port_is_lost(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::with(small());
        world.calls.set_identity(identity()).unwrap();
        for step in steps {
            world.step(step);
            prop_assert!(world.calls.poll_outcome().is_none());
        }
        world.agree();
        world.lose_no_port();
    }
}

#[test]
fn any_octets_as_a_body_are_survived() {
    let mut world = World::with(small());
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdp/corpus");
    let mut request = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let sdp = std::fs::read(entry.unwrap().path()).unwrap();
        for cut in 0..=sdp.len() {
            request += 1;
            let command = Command::Offer(offer(&sdp[..cut]));
            world.calls.handle_command(world.now, world.wall, RequestId(request), command);
            world.settle();
        }
        let command = Command::Answer(answer(&sdp[..]));
        world.calls.handle_command(world.now, world.wall, RequestId(0), command);
        world.settle();
        world.calls.terminate(world.now, CALL);
        world.settle();
    }
    assert!(world.calls.is_empty());
}
