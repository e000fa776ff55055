//! The program between real interfaces: a client, a relay and a peer, each in a namespace, linked by veth in
//! native mode.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use raceway_abi::{ALWAYS_REDIRECT, Counter, Direction, FLAG_LOCAL_DESTINATION, FlowSpec};
use raceway_api::XdpMode;
use raceway_relay::xdp::Xdp;

use crate::net::{Host, command};
use crate::place::{Place, with_bpf};
use crate::support::packet::{channel_data, rtp};
use crate::support::world::{FIRST_RELAY_PORT, FOREVER_NS, forward, key, socket, write_settings};

/// How long a datagram that should come may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that should not come is waited for.
const IMPATIENCE: Duration = Duration::from_millis(100);

const CHANNEL: u16 = 0x4001;

/// A client and a peer with the relay between them.
struct Wire {
    client: Host,
    peer: Host,
    xdp: Xdp,
    slots: u32,
}

impl Wire {
    fn new(place: &mut Place) -> Self {
        let client = Host::new();
        let peer = Host::new();
        command(&["ip", "link", "set", "lo", "up"]);
        client.link("c0", "c1", &[("10.1.0.1/24", "10.1.0.2/24"), ("fd01::1/64", "fd01::2/64")]);
        peer.link("p0", "p1", &[("10.2.0.1/24", "10.2.0.2/24"), ("fd02::1/64", "fd02::2/64")]);
        place.options.interfaces = vec!["c0".to_owned(), "p0".to_owned()];
        let xdp = place.open().expect("opens");
        assert!(xdp.interfaces().iter().all(|got| got.mode == XdpMode::Native), "{:?}", xdp.interfaces());
        write_settings(&xdp.settings()[0]);
        Self { client, peer, xdp, slots: 0 }
    }

    fn put(&mut self, spec: FlowSpec) {
        self.xdp.flows()[self.slots as usize].publish(&spec, FOREVER_NS);
        self.xdp.slots().insert(&spec.key, self.slots).expect("room");
        self.slots += 1;
    }

    /// A channel of the client with a peer, both ways.
    fn channel(&mut self, client: SocketAddr, listener: SocketAddr, relayed: SocketAddr, peer: SocketAddr) {
        self.put(forward(key(client, listener, CHANNEL), relayed, peer, 0));
        self.put(forward(key(peer, relayed, 0), listener, client, CHANNEL));
    }

    fn relayed(&self) -> u64 {
        let counters = self.xdp.counters();
        Direction::ALL.iter().map(|&direction| counters[Counter::packets(direction).index() as usize]).sum()
    }
}

pub fn bind(host: &Host, address: SocketAddr) -> UdpSocket {
    let socket = host.run(move || UdpSocket::bind(address)).expect("its own address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a duration");
    socket
}

pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (octets, from) = socket.recv_from(&mut buffer).expect("it comes");
    (buffer[..octets].to_vec(), from)
}

/// Makes both ends of a link know each other's MAC: sends to a port that nobody listens on until the refusal is here.
pub fn greet(host: &Host, targets: &[&'static str]) {
    for &target in targets {
        host.run(move || {
            let any = if target.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(any).expect("free");
            socket.connect(SocketAddr::new(target.parse().expect("a literal"), 9)).expect("routed");
            socket.set_read_timeout(Some(PATIENCE)).expect("a duration");
            socket.send(b"hello").expect("sent");
            let error = socket.recv(&mut [0; 16]).expect_err("nobody listens");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    }
}

fn exchange(client: &UdpSocket, listener: SocketAddr, relayed: SocketAddr, peer: &UdpSocket) {
    for sequence in 0..50 {
        let data = rtp(sequence, 160);
        client.send_to(&channel_data(CHANNEL, &data), listener).expect("sent");
        assert_eq!(receive(peer), (data.clone(), relayed));
        peer.send_to(&data, relayed).expect("sent");
        assert_eq!(receive(client), (channel_data(CHANNEL, &data), listener));
    }
}

#[test]
fn needs_bpf_media_crosses_the_driver_both_ways_in_every_pair_of_families() {
    with_bpf("wire", |place| {
        let mut wire = Wire::new(place);
        greet(&wire.client, &["10.1.0.1", "fd01::1"]);
        greet(&wire.peer, &["10.2.0.1", "fd02::1"]);
        let ends = [
            ("10.1.0.2:5000", "10.1.0.1:3478", "10.2.0.1", "10.2.0.2:6000"),
            ("[fd01::2]:5000", "[fd01::1]:3478", "fd02::1", "[fd02::2]:6000"),
        ];
        for (number, (c, p)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
            let mut client = socket(ends[c].0);
            client.set_port(5000 + number as u16);
            let mut peer = socket(ends[p].3);
            peer.set_port(6000 + number as u16);
            let listener = socket(ends[c].1);
            let relayed = SocketAddr::new(ends[p].2.parse().expect("a literal"), FIRST_RELAY_PORT + number as u16);
            wire.channel(client, listener, relayed, peer);
            let before = wire.relayed();
            exchange(&bind(&wire.client, client), listener, relayed, &bind(&wire.peer, peer));
            assert_eq!(wire.relayed() - before, 100, "every one in XDP");
        }
        let rtp = &wire.xdp.flows()[0].measured.rtp;
        assert_eq!((rtp.received.load(Relaxed), rtp.lost.load(Relaxed)), (50, 0));
    });
}

#[test]
fn needs_bpf_two_clients_on_one_link_meet_in_one_pass() {
    with_bpf("wire hairpin", |place| {
        let mut wire = Wire::new(place);
        greet(&wire.client, &["10.1.0.1"]);
        let listener = socket("10.1.0.1:3478");
        let (one, two) = (socket("10.1.0.2:5000"), socket("10.1.0.2:5001"));
        let (here, there) = (socket("10.2.0.1:50000"), socket("10.2.0.1:50001"));
        for (client, from, to) in [(one, here, there), (two, there, here)] {
            let out = forward(key(client, listener, CHANNEL), from, to, 0);
            wire.put(FlowSpec { flags: FLAG_LOCAL_DESTINATION, ..out });
            wire.put(forward(key(to, from, 0), listener, client, CHANNEL));
        }
        let (one, two) = (bind(&wire.client, one), bind(&wire.client, two));
        for sequence in 0..50 {
            let message = channel_data(CHANNEL, &rtp(sequence, 160));
            one.send_to(&message, listener).expect("sent");
            assert_eq!(receive(&two), (message.clone(), listener));
            two.send_to(&message, listener).expect("sent");
            assert_eq!(receive(&one), (message, listener));
        }
        assert_eq!(wire.relayed(), 200, "two flows each");
    });
}

/// Frames that veth sends by `XDP_TX` arrive only if the far end has a program, so which way is taken follows that.
#[test]
fn needs_bpf_veth_sends_back_directly_when_the_far_end_has_a_program() {
    with_bpf("wire far end", |place| {
        let mut wire = Wire::new(place);
        let ifindex = nix::net::if_::if_nametoindex("c0").expect("linked");
        let way = |wire: &Wire| {
            let [a, b, c, d, ..] = wire.xdp.egress().get(&ifindex, 0).expect("attached");
            u32::from_ne_bytes([a, b, c, d])
        };
        assert_eq!(way(&wire), ifindex | ALWAYS_REDIRECT);
        let far = wire.client.run(|| {
            let mut place = Place::new();
            place.options.interfaces = vec!["c1".to_owned()];
            place.open().expect("opens");
            place
        });
        wire.xdp.refresh_egress().expect("room");
        assert_eq!(way(&wire), ifindex);
        drop(far);
        wire.xdp.refresh_egress().expect("room");
        assert_eq!(way(&wire), ifindex | ALWAYS_REDIRECT);
    });
}

#[test]
fn needs_bpf_what_has_no_neighbour_yet_goes_up() {
    with_bpf("wire neighbour", |place| {
        let mut wire = Wire::new(place);
        let (client, listener) = (socket("10.1.0.2:5000"), socket("10.1.0.1:3478"));
        let (relayed, peer) = (socket("10.2.0.1:50000"), socket("10.2.0.2:6000"));
        wire.channel(client, listener, relayed, peer);
        greet(&wire.client, &["10.1.0.1"]);
        // Stands for the worker.
        let worker = UdpSocket::bind(listener).expect("free");
        worker.set_read_timeout(Some(PATIENCE)).expect("a duration");
        let (client, peer) = (bind(&wire.client, client), bind(&wire.peer, peer));
        let message = channel_data(CHANNEL, b"first");
        client.send_to(&message, listener).expect("sent");
        assert_eq!(receive(&worker).0, message);
        assert_eq!(wire.relayed(), 0);
        greet(&wire.peer, &["10.2.0.1"]);
        client.send_to(&message, listener).expect("sent");
        assert_eq!(receive(&peer), (b"first".to_vec(), relayed));
        worker.set_read_timeout(Some(IMPATIENCE)).expect("a duration");
        assert!(worker.recv_from(&mut [0; 64]).is_err());
    });
}

#[test]
fn needs_bpf_a_peer_behind_a_gateway_is_reached() {
    with_bpf("wire gateway", |place| {
        let mut wire = Wire::new(place);
        wire.peer.run(|| command(&["ip", "addr", "add", "10.99.0.9/32", "dev", "lo"]));
        command(&["ip", "route", "add", "10.99.0.0/24", "via", "10.2.0.2"]);
        greet(&wire.client, &["10.1.0.1"]);
        greet(&wire.peer, &["10.2.0.1"]);
        let (client, listener) = (socket("10.1.0.2:5000"), socket("10.1.0.1:3478"));
        let (relayed, peer) = (socket("10.2.0.1:50000"), socket("10.99.0.9:6000"));
        wire.channel(client, listener, relayed, peer);
        exchange(&bind(&wire.client, client), listener, relayed, &bind(&wire.peer, peer));
        assert_eq!(wire.relayed(), 100);
    });
}

/// A route may name an interface that the program is not attached to.
#[test]
fn needs_bpf_an_interface_without_the_program_is_the_workers() {
    with_bpf("wire egress", |place| {
        let mut wire = Wire::new(place);
        let ifindex = nix::net::if_::if_nametoindex("p0").expect("linked");
        wire.xdp.egress_mut().remove(&ifindex).expect("attached");
        greet(&wire.client, &["10.1.0.1"]);
        greet(&wire.peer, &["10.2.0.1"]);
        let (client, listener) = (socket("10.1.0.2:5000"), socket("10.1.0.1:3478"));
        wire.channel(client, listener, socket("10.2.0.1:50000"), socket("10.2.0.2:6000"));
        let worker = UdpSocket::bind(listener).expect("free");
        worker.set_read_timeout(Some(PATIENCE)).expect("a duration");
        let message = channel_data(CHANNEL, b"first");
        bind(&wire.client, client).send_to(&message, listener).expect("sent");
        assert_eq!(receive(&worker).0, message);
        assert_eq!(wire.relayed(), 0);
    });
}

/// The relay dies and comes back; its flows do not notice.
#[test]
fn needs_bpf_flows_outlive_the_process() {
    with_bpf("wire restart", |place| {
        let mut wire = Wire::new(place);
        let (client, listener) = (socket("10.1.0.2:5000"), socket("10.1.0.1:3478"));
        let (relayed, peer) = (socket("10.2.0.1:50000"), socket("10.2.0.2:6000"));
        wire.channel(client, listener, relayed, peer);
        greet(&wire.client, &["10.1.0.1"]);
        greet(&wire.peer, &["10.2.0.1"]);
        let (client, peer) = (bind(&wire.client, client), bind(&wire.peer, peer));
        exchange(&client, listener, relayed, &peer);
        let Wire { client: _client_host, peer: _peer_host, xdp, .. } = wire;
        drop(xdp);
        exchange(&client, listener, relayed, &peer);
        let mut xdp = place.open().expect("opens");
        exchange(&client, listener, relayed, &peer);
        assert_eq!(xdp.slots().entries().len(), 2);
        assert_eq!(xdp.counters()[Counter::packets(Direction::ClientToPeer).index() as usize], 150);
    });
}
