//! Connections at one address, with clients that are full ICE agents and open DTLS: all of it real, but the network.

use core::net::SocketAddr;
use core::time::Duration;

use raceway_dtls::{Association, Certificate, Hash, Identity, Profile};
use raceway_ice::{Agent, Candidate, Component, Credentials, Mode, Role};
use raceway_rooms::connections::{ConnectionId, Connections, Happened, Taken};
use raceway_rooms::negotiation::Offered;
use raceway_rooms::{Refusal, limits};
use raceway_units::{Instant, UnixTime};

const PUBLISH: &str = include_str!("../../corpus/publish-chromium.sdp");

fn at(ms: u64) -> Instant {
    Instant::from_ns(1_000_000_000 + ms * 1_000_000)
}

fn ours() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7000))
}

fn identity() -> Identity {
    Identity::new(&Certificate::generate(UnixTime(1_700_000_000)).expect("made")).expect("made")
}

fn connections() -> Connections {
    let mut counter = 0_u8;
    let random = move |octets: &mut [u8]| {
        counter = counter.wrapping_add(1);
        octets.iter_mut().enumerate().for_each(|(at, octet)| *octet = counter.wrapping_mul(31).wrapping_add(at as u8));
    };
    Connections::new(vec![ours()], Box::new(random))
}

/// A client: a browser in all that matters here.
struct Client {
    address: SocketAddr,
    agent: Agent,
    association: Association,
    offered: Offered,
    connected: bool,
    keys: Option<raceway_dtls::Keys>,
}

impl Client {
    fn new(number: u8, ours_fingerprint: &Identity) -> Self {
        let identity = identity();
        let address = SocketAddr::from(([198, 51, 100, number], 5000));
        let credentials = Credentials::from_random(&[number; 24]);
        let fingerprint = identity.fingerprint(Hash::Sha256).expect("hashed").to_string();
        let mut text = String::new();
        for line in PUBLISH.lines() {
            let line = match line.split_once(':').map(|(name, _)| name) {
                Some("a=ice-ufrag") => format!("a=ice-ufrag:{}", credentials.ufrag()),
                Some("a=ice-pwd") => format!("a=ice-pwd:{}", credentials.password()),
                Some("a=fingerprint") => format!("a=fingerprint:{fingerprint}"),
                _ => line.to_owned(),
            };
            text += &line;
            text += "\r\n";
        }
        let offered = Offered::read(text.as_bytes()).expect("an offer");
        let agent = Agent::new(Mode::Full(Role::Controlling), credentials, &[address], [number; 32]);
        let mut association = Association::new(raceway_dtls::Role::Active, &identity, &Profile::ALL).expect("made");
        association.set_fingerprints(at(0), vec![ours_fingerprint.fingerprint(Hash::Sha256).expect("hashed")]);
        Self { address, agent, association, offered, connected: false, keys: None }
    }

    /// It has the answer.
    fn answered(&mut self, now: Instant, credentials: &Credentials) {
        self.agent.set_remote(credentials.clone());
        self.agent.add_remote_candidate(now, Candidate::host(Component::Rtp, ours())).expect("the first");
    }

    fn handle(&mut self, now: Instant, payload: &[u8]) {
        match payload[0] {
            0..=3 => drop(self.agent.handle_datagram(now, self.address, ours(), payload)),
            _ => drop(self.association.handle_datagram(now, ours(), payload)),
        }
    }

    fn work(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.agent.handle_timeout(now);
        self.association.handle_timeout(now);
        while let Some(event) = self.agent.poll_event() {
            if matches!(event, raceway_ice::Event::Nominated { .. }) && !self.connected {
                self.connected = true;
                self.association.allow(now, ours());
            }
        }
        while let Some(event) = self.association.poll_event() {
            let raceway_dtls::Event::Keys(keys) = event else { panic!("{event:?}") };
            self.keys = Some(keys);
        }
        let mut out: Vec<_> = std::iter::from_fn(|| self.agent.poll_transmit()).map(|sent| sent.payload).collect();
        out.extend(std::iter::from_fn(|| self.association.poll_transmit()).map(|sent| sent.payload));
        out
    }
}

/// Carries datagrams between all of them for some time; what happened at us.
fn run(server: &mut Connections, clients: &mut [Client], from_ms: u64, to_ms: u64) -> Vec<(ConnectionId, Happened)> {
    let mut happened = Vec::new();
    for ms in (from_ms..to_ms).step_by(5) {
        let now = at(ms);
        server.handle_timeout(now);
        for client in clients.iter_mut() {
            for payload in client.work(now) {
                server.handle_datagram(now, ours(), client.address, &payload);
            }
        }
        happened.extend(std::iter::from_fn(|| server.poll_event(now)));
        while let Some(sent) = server.poll_transmit() {
            assert_eq!(sent.local, ours());
            if let Some(client) = clients.iter_mut().find(|client| client.address == sent.remote) {
                client.handle(now, &sent.payload);
            }
        }
    }
    happened
}

fn keys(happened: &[(ConnectionId, Happened)], id: ConnectionId) -> Option<&raceway_dtls::Keys> {
    happened.iter().find_map(|(of, what)| match what {
        Happened::Keys(keys) if *of == id => Some(keys),
        _ => None,
    })
}

#[test]
fn clients_at_one_address_of_ours_get_each_its_own_keys() {
    let (identity, mut server) = (identity(), connections());
    let mut clients: Vec<_> = (1..=3).map(|number| Client::new(number, &identity)).collect();
    let mut ids = Vec::new();
    for client in &mut clients {
        let (id, credentials) = server.open(at(0), &identity, client.offered.we_open).expect("opened");
        server.set_remote(at(0), id, &client.offered).expect("taken");
        client.answered(at(0), &credentials);
        ids.push(id);
    }
    let happened = run(&mut server, &mut clients, 0, 2000);
    for (client, id) in clients.iter().zip(&ids) {
        let (ours_of_them, theirs) = (keys(&happened, *id).expect("keys"), client.keys.as_ref().expect("keys"));
        assert_eq!((ours_of_them.receive(), ours_of_them.send()), (theirs.send(), theirs.receive()));
        assert_eq!(server.at(*id), Some((ours(), client.address)));
    }
    assert_ne!(keys(&happened, ids[0]), keys(&happened, ids[1]));
}

#[test]
fn who_only_waits_is_called_once_it_has_proven_its_address() {
    let (identity, mut server) = (identity(), connections());
    let mut client = Client::new(1, &identity);
    let passive = Association::new(raceway_dtls::Role::Passive, &self::identity(), &Profile::ALL).expect("made");
    client.association = passive;
    let (id, credentials) = server.open(at(0), &identity, true).expect("opened");
    server.set_remote(at(0), id, &client.offered).expect("taken");
    client.answered(at(0), &credentials);
    let mut first_record = None;
    for ms in (0..1000).step_by(5) {
        for payload in client.work(at(ms)) {
            server.handle_datagram(at(ms), ours(), client.address, &payload);
        }
        while server.poll_event(at(ms)).is_some() {}
        while let Some(sent) = server.poll_transmit() {
            if sent.payload[0] >= 20 {
                first_record.get_or_insert(sent.remote);
            } else {
                client.handle(at(ms), &sent.payload);
            }
        }
    }
    assert_eq!(first_record, Some(client.address));
}

#[test]
fn an_address_that_has_proven_nothing_is_nobodys() {
    let (identity, mut server) = (identity(), connections());
    let mut client = Client::new(1, &identity);
    let (id, credentials) = server.open(at(0), &identity, false).expect("opened");
    server.set_remote(at(0), id, &client.offered).expect("taken");
    client.answered(at(0), &credentials);
    client.association.allow(at(0), ours());
    let hello = client.association.poll_transmit().expect("it begins").payload;
    assert_eq!(server.handle_datagram(at(0), ours(), client.address, &hello), Taken::Nobody);
    let check = client.work(at(1)).into_iter().find(|payload| payload[0] < 4).expect("a check");
    // Right in all but the password.
    let mut guesser = Client::new(2, &identity);
    guesser.answered(at(1), &Credentials::new(credentials.ufrag(), &"x".repeat(24)).expect("some"));
    let forged = guesser.work(at(1)).into_iter().find(|payload| payload[0] < 4).expect("a check");
    let stranger = SocketAddr::from(([203, 0, 113, 9], 9));
    assert_eq!(server.handle_datagram(at(1), ours(), stranger, &forged), Taken::Nobody);
    assert_eq!(server.handle_datagram(at(1), ours(), stranger, &hello), Taken::Nobody);
    assert_eq!(server.handle_datagram(at(1), ours(), client.address, &check), Taken::By(id));
    assert_eq!(server.handle_datagram(at(2), ours(), client.address, &hello), Taken::By(id));
    assert_eq!(server.handle_datagram(at(2), ours(), stranger, &hello), Taken::Nobody);
    for junk in [&[][..], &[4], &[0; 20], &[0, 1, 0, 0], &[22; 3], &[128; 40]] {
        assert_eq!(server.handle_datagram(at(3), ours(), stranger, junk), Taken::Nobody);
    }
}

#[test]
fn a_client_that_moves_is_heard_where_it_is_now() {
    let (identity, mut server) = (identity(), connections());
    let mut client = Client::new(1, &identity);
    let (id, credentials) = server.open(at(0), &identity, false).expect("opened");
    server.set_remote(at(0), id, &client.offered).expect("taken");
    client.answered(at(0), &credentials);
    run(&mut server, core::slice::from_mut(&mut client), 0, 1000);
    assert!(client.keys.is_some());
    let address = SocketAddr::from(([203, 0, 113, 77], 6000));
    let theirs = Credentials::from_random(&[99; 24]);
    let ours_now = server.restart(id, theirs.ufrag(), theirs.password()).expect("restarted");
    assert_ne!(ours_now, credentials);
    client.address = address;
    client.agent = Agent::new(Mode::Full(Role::Controlling), theirs, &[address], [77; 32]);
    client.answered(at(1000), &ours_now);
    let happened = run(&mut server, core::slice::from_mut(&mut client), 1000, 2000);
    assert!(happened.contains(&(id, Happened::At { local: ours(), remote: address })), "{happened:?}");
    assert_eq!(keys(&happened, id), None, "the association goes on");
}

#[test]
fn silence_is_a_lost_client_and_a_closed_connection_is_nobodys() {
    let (identity, mut server) = (identity(), connections());
    let mut client = Client::new(1, &identity);
    let (id, credentials) = server.open(at(0), &identity, false).expect("opened");
    server.set_remote(at(0), id, &client.offered).expect("taken");
    client.answered(at(0), &credentials);
    run(&mut server, core::slice::from_mut(&mut client), 0, 12_000);
    let happened = run(&mut server, &mut [], 12_000, 60_000);
    assert_eq!(happened, [(id, Happened::Lost)]);
    server.close(id);
    assert!(server.is_empty() && server.poll_timeout().is_none());
    assert!(format!("{server:?}").contains("connections: 0, fragments: 0, addresses: 0, timers: 0"), "{server:?}");
    let mut late = Client::new(1, &identity);
    late.answered(at(60_000), &credentials);
    let check = late.work(at(60_000)).into_iter().find(|payload| payload[0] < 4).expect("a check");
    assert_eq!(server.handle_datagram(at(60_000), ours(), client.address, &check), Taken::Nobody);
    assert_eq!(server.poll_event(at(60_000)), None);
}

#[test]
fn a_client_is_known_at_a_few_addresses_and_the_first_is_forgotten_first() {
    let (identity, mut server) = (identity(), connections());
    let mut client = Client::new(1, &identity);
    let (id, credentials) = server.open(at(0), &identity, false).expect("opened");
    server.set_remote(at(0), id, &client.offered).expect("taken");
    client.answered(at(0), &credentials);
    client.association.allow(at(0), ours());
    let hello = client.association.poll_transmit().expect("it begins").payload;
    let from = |port: usize| SocketAddr::from(([198, 51, 100, 1], 1000 + port as u16));
    let check = client.work(at(1)).into_iter().find(|payload| payload[0] < 4).expect("a check");
    for port in 0..=limits::ADDRESSES_MAX {
        assert_eq!(server.handle_datagram(at(1), ours(), from(port), &check), Taken::By(id));
    }
    assert_eq!(server.handle_datagram(at(2), ours(), from(0), &hello), Taken::Nobody);
    assert_eq!(server.handle_datagram(at(2), ours(), from(1), &hello), Taken::By(id));
}

#[test]
fn descriptions_without_a_usable_hash_or_password_are_refused() {
    let (identity, mut server) = (identity(), connections());
    let client = Client::new(1, &identity);
    let (id, _) = server.open(at(0), &identity, false).expect("opened");
    let mut odd = client.offered.clone();
    odd.fingerprints = vec!["md5 00:11".parse().expect("read")];
    assert!(matches!(server.set_remote(at(0), id, &odd), Err(Refusal::Description(why)) if why.contains("sha-256")));
    let mut odd = client.offered;
    odd.credentials.password = "short".to_owned();
    assert!(matches!(server.set_remote(at(0), id, &odd), Err(Refusal::Description(_))));
    assert_eq!(server.restart(ConnectionId(99), "abcd", &"x".repeat(22)).err(), Some(Refusal::Gone("connection")));
}

#[test]
fn a_client_that_never_comes_is_lost() {
    let (identity, mut server) = (identity(), connections());
    let (id, _) = server.open(at(0), &identity, false).expect("opened");
    assert_eq!(run(&mut server, &mut [], 0, 29_000), []);
    assert_eq!(run(&mut server, &mut [], 29_000, 90_000), [(id, Happened::Lost)]);
}

/// Time is asked for by as many as there are, and only by them.
#[test]
fn timers_are_those_of_connections_that_are_there() {
    let (identity, mut server) = (identity(), connections());
    let mut clients: Vec<_> = (1..=4).map(|number| Client::new(number, &identity)).collect();
    let mut ids = Vec::new();
    for client in &mut clients {
        let (id, credentials) = server.open(at(0), &identity, false).expect("opened");
        server.set_remote(at(0), id, &client.offered).expect("taken");
        client.answered(at(0), &credentials);
        ids.push(id);
    }
    run(&mut server, &mut clients, 0, 1000);
    assert!(server.poll_timeout().is_some_and(|due| due > at(900)));
    ids.iter().for_each(|id| server.close(*id));
    assert_eq!((server.len(), server.poll_timeout()), (0, None));
    server.handle_timeout(at(0).after(Duration::from_secs(3600)));
}
