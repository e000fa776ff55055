//! Calls with a relay, and a clock that stands until it is moved.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_api::{Leg, LegEvent, RelayPorts, SessionId};
use raceway_media::{
    Answer, CallView, Calls, Command, Delete, Event, Interface, Offer, Options, Refusal, Reply, RequestId, Settings,
};
use raceway_sdp::{Description, Sdp};
use raceway_units::{Instant, UnixTime};

use crate::relay::{Relay, Said, Session};

pub const CALL: &str = "1-31631@10.77.1.1";

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn random(seed: u64) -> raceway_media::RandomSource {
    let mut state = seed | 1;
    Box::new(move |octets| {
        for octet in octets {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *octet = (state >> 56) as u8;
        }
    })
}

pub fn interface(name: &str, address: &str, advertised: &str) -> Interface {
    let ports = RelayPorts { first: 30_000, last: 30_999 };
    Interface { name: name.into(), address: address.parse().unwrap(), advertised: advertised.parse().unwrap(), ports }
}

/// `int` with both families, `ext` behind a NAT.
pub fn settings() -> Settings {
    let interfaces = vec![
        interface("int", "10.0.0.1", "10.0.0.1"),
        interface("int", "2001:db8::1", "2001:db8::1"),
        interface("ext", "10.0.1.1", "203.0.113.7"),
    ];
    Settings::new(interfaces)
}

pub struct World {
    pub calls: Calls,
    pub relay: Relay,
    pub now: Instant,
    pub wall: UnixTime,
    pub events: Vec<Event>,
    next_request: u64,
}

/// A plain body of one audio m-line.
pub fn body(address: &str, port: u16) -> String {
    let kind = if address.contains(':') { "IP6" } else { "IP4" };
    format!(
        "v=0\r\no=ua 53655765 2353687637 IN {kind} {address}\r\ns=-\r\nc=IN {kind} {address}\r\nt=0 0\r\n\
        m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
}

pub fn offer(sdp: impl Into<Vec<u8>>) -> Offer {
    Offer { call_id: CALL.into(), from_tag: "alice".into(), sdp: sdp.into(), ..Offer::default() }
}

pub fn answer(sdp: impl Into<Vec<u8>>) -> Answer {
    let (call_id, from_tag, to_tag) = (CALL.into(), "alice".into(), "bob".into());
    Answer { call_id, from_tag, to_tag, sdp: sdp.into(), ..Answer::default() }
}

pub fn delete() -> Delete {
    Delete { call_id: CALL.into(), from_tag: Some("alice".into()), ..Delete::default() }
}

impl World {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            calls: Calls::new(settings, random(1)).unwrap(),
            relay: Relay::default(),
            now: Instant::from_ns(1_000_000_000_000),
            wall: UnixTime(1_700_000_000),
            events: Vec::new(),
            next_request: 0,
        }
    }

    /// Gives a command, lets the relay carry it out; what comes of it.
    pub fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        let request = self.give(command);
        self.settle();
        let (named, outcome) = self.calls.poll_outcome().expect("an outcome");
        assert_eq!(named, request);
        assert_eq!(self.calls.poll_outcome(), None, "one outcome");
        outcome
    }

    pub fn give(&mut self, command: Command) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.calls.handle_command(self.now, self.wall, request, command);
        request
    }

    pub fn offer(&mut self, offer: Offer) -> String {
        text(self.command(Command::Offer(offer)))
    }

    pub fn answer(&mut self, answer: Answer) -> String {
        text(self.command(Command::Answer(answer)))
    }

    pub fn delete(&mut self) -> CallView {
        match self.command(Command::Delete(delete())) {
            Ok(Reply::Deleted(call)) => *call,
            other => panic!("{other:?}"),
        }
    }

    /// A plain call between 192.0.2.1:4000 and 192.0.2.2:5000; both bodies as they went on.
    pub fn plain(&mut self) -> (String, String) {
        self.plain_with(Options::default())
    }

    pub fn plain_with(&mut self, options: Options) -> (String, String) {
        let offered = self.offer(Offer { options: options.clone(), ..offer(body("192.0.2.1", 4000)) });
        let answered = self.answer(Answer { options, ..answer(body("192.0.2.2", 5000)) });
        (offered, answered)
    }

    /// Lets both talk until neither has anything to say.
    pub fn settle(&mut self) {
        loop {
            self.hear_relay();
            let told = std::mem::take(&mut self.relay.recordings);
            if told.is_empty() {
                break;
            }
            for (session, state) in told {
                self.calls.handle_recording(self.now, session, state);
            }
        }
        self.events.extend(std::iter::from_fn(|| self.calls.poll_event()));
    }

    fn hear_relay(&mut self) {
        while let Some(message) = self.calls.poll_output() {
            match self.relay.take(message) {
                Said::Nothing => {}
                Said::Applied(transaction) => self.calls.handle_applied(self.now, transaction),
                Said::Failed(transaction, error) => self.calls.handle_failed(self.now, transaction, error),
                Said::Report(session) => {
                    if let Some(report) = self.relay.report(session, false) {
                        self.calls.handle_report(self.now, &report);
                    }
                }
            }
        }
    }

    /// Moves the clock; timers fire on the way.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(due) = self.calls.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.calls.handle_timeout(self.now);
            self.settle();
        }
        self.wall.0 += end.since(self.now).as_secs();
        self.now = end;
    }

    pub fn session(&self) -> &Session {
        self.relay.sessions.values().next().expect("a session")
    }

    pub fn session_id(&self) -> SessionId {
        *self.relay.sessions.keys().next().expect("a session")
    }

    /// The leg whose party is at an address by signalling.
    pub fn leg(&self, remote: &str) -> &Leg<'static> {
        let remote = address(remote);
        self.session().legs.values().find(|leg| leg.rtp.remote == Some(remote)).expect("a leg")
    }

    /// The relay says where a leg's packets go.
    pub fn learned(&mut self, leg: raceway_api::LegId, rtcp: bool, remote: &str) {
        let event = LegEvent::Learned { rtcp, remote: address(remote), settled: true };
        let report = self.relay.legs.entry(leg).or_insert_with(|| crate::relay::leg_report(leg));
        if rtcp {
            (report.rtcp_remote, report.rtcp_settled) = (Some(address(remote)), true);
        } else {
            (report.rtp_remote, report.rtp_settled) = (Some(address(remote)), true);
        }
        let session = self.session_id();
        self.calls.handle_leg_event(self.now, session, leg, &event);
        self.settle();
    }
}

pub fn text(outcome: Result<Reply, Refusal>) -> String {
    match outcome {
        Ok(Reply::Sdp(sdp)) => String::from_utf8(sdp).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub fn describe(body: &str) -> Description {
    Sdp::parse(body.as_bytes()).unwrap().describe().unwrap()
}

/// Where a body wants RTP of its first m-line.
pub fn rtp(body: &str) -> SocketAddr {
    describe(body).media[0].rtp.expect("an address")
}
