use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::mmsg::Mmsg;
use crate::socket::{self, Purpose};
use crate::uring::Uring;

/// A back end under test.
trait Make: PacketIo + Sized {
    fn make(waker: Waker) -> Self;
}

impl Make for Uring {
    fn make(waker: Waker) -> Self {
        Self::new(8, 4, waker).expect("io_uring")
    }
}

impl Make for Mmsg {
    fn make(waker: Waker) -> Self {
        Self::new(8, 4, waker).expect("epoll")
    }
}

/// A relay of two sockets: what arrives at one leaves from the other.
struct Pair<I> {
    io: I,
    inside: OwnedFd,
    outside: OwnedFd,
    waker: Waker,
}

fn bound(fd: &OwnedFd) -> std::net::SocketAddr {
    socket2::SockRef::from(fd).local_addr().unwrap().as_socket().unwrap()
}

impl<I: Make> Pair<I> {
    fn new(host: &str) -> Self {
        let any = |purpose| socket::open((host.parse::<std::net::IpAddr>().unwrap(), 0).into(), purpose).unwrap();
        let waker = Waker::new().unwrap();
        let mut io = I::make(waker.clone());
        let (inside, outside) = (any(Purpose::Listener), any(Purpose::Relayed));
        io.receive(1, inside.as_raw_fd());
        Self { io, inside, outside, waker }
    }

    /// Forwards `count` datagrams to `to`; returns their sizes and where they came from.
    fn forward(&mut self, count: usize, to: Endpoint) -> Vec<(usize, Option<Endpoint>)> {
        let mut seen = Vec::new();
        while seen.len() < count {
            self.io.wait(Wait::Event).unwrap();
            while let Some(event) = self.io.next_event() {
                if let Event::Received { buffer, length, remote, traffic_class, .. } = event {
                    seen.push((length, remote));
                    let payload = HEADROOM..HEADROOM + length;
                    self.io.send(self.outside.as_raw_fd(), to, traffic_class, buffer, payload);
                }
            }
        }
        // The last batch is still to be handed over.
        self.waker.wake();
        self.io.wait(Wait::Event).unwrap();
        while self.io.next_event().is_some() {}
        seen
    }
}

fn peer(host: &str) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

fn datagrams_pass_in_order_with_their_sizes_over_both_families<I: Make>() {
    for host in ["127.0.0.1", "::1"] {
        let mut pair = Pair::<I>::new(host);
        let (from, to) = (peer(host), peer(host));
        // Equal ones become one segmented send, a shorter one ends it, an empty one stands alone.
        let sizes = [100, 100, 100, 60, 100, 0, 1400, 1400, 4096];
        for (n, size) in sizes.iter().enumerate() {
            from.send_to(&vec![n as u8; *size], bound(&pair.inside)).unwrap();
        }
        let seen = pair.forward(sizes.len(), to.local_addr().unwrap().into());
        assert_eq!(seen, sizes.map(|size| (size, Some(from.local_addr().unwrap().into()))));
        let mut buffer = [0; 5000];
        for (n, size) in sizes.iter().enumerate() {
            assert_eq!(to.recv(&mut buffer).unwrap(), *size);
            assert!(buffer[..*size].iter().all(|octet| *octet == n as u8));
        }
        assert_eq!(pair.io.figures().sends_failed, 0);
    }
}

fn more_datagrams_than_buffers_pass_in_several_batches<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    let (from, to) = (peer("127.0.0.1"), peer("127.0.0.1"));
    for _ in 0..5 {
        for n in 0..700u32 {
            from.send_to(&n.to_be_bytes(), bound(&pair.inside)).unwrap();
        }
        pair.forward(700, to.local_addr().unwrap().into());
        let mut buffer = [0; 8];
        // The receiver's own queue may be shorter than a burst; what arrives must be in order.
        let mut last = None;
        to.set_nonblocking(true).unwrap();
        while to.recv(&mut buffer).is_ok() {
            let n = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
            assert!(last < Some(n));
            last = Some(n);
        }
        assert!(last.is_some());
    }
}

fn an_oversized_datagram_is_marked<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    peer("127.0.0.1").send_to(&[1; PAYLOAD_MAX + 1], bound(&pair.inside)).unwrap();
    pair.io.wait(Wait::Event).unwrap();
    let Some(Event::Received { length, truncated, buffer, .. }) = pair.io.next_event() else { panic!("a datagram") };
    assert_eq!((length, truncated), (PAYLOAD_MAX, true));
    pair.io.release(buffer);
}

fn a_stopped_socket_says_so_and_receives_no_more<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    let from = peer("127.0.0.1");
    pair.io.stop(1);
    let stopped = loop {
        pair.io.wait(Wait::Event).unwrap();
        if let Some(Event::Stopped { socket }) = pair.io.next_event() {
            break socket;
        }
    };
    assert_eq!(stopped, 1);
    from.send_to(b"late", bound(&pair.inside)).unwrap();
    pair.waker.wake();
    pair.io.wait(Wait::Event).unwrap();
    assert!(matches!(pair.io.next_event(), Some(Event::Woken)));
    assert!(pair.io.next_event().is_none());
}

fn an_unreachable_peer_is_told_and_receiving_goes_on<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    pair.io.receive(2, pair.outside.as_raw_fd());
    let closed = peer("127.0.0.1").local_addr().unwrap();
    socket::send_to(pair.outside.as_raw_fd(), closed.into(), b"x").unwrap();
    pair.io.wait(Wait::Event).unwrap();
    assert!(matches!(pair.io.next_event(), Some(Event::NetworkError { socket: 2 })));
    assert!(socket::network_error(pair.outside.as_raw_fd()).is_some());
    peer("127.0.0.1").send_to(b"hello", bound(&pair.outside)).unwrap();
    loop {
        pair.io.wait(Wait::Event).unwrap();
        if let Some(Event::Received { socket, length, buffer, .. }) = pair.io.next_event() {
            assert_eq!((socket, length), (2, 5));
            pair.io.release(buffer);
            break;
        }
    }
}

fn a_traffic_class_survives<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    let (from, to) = (peer("127.0.0.1"), Pair::<I>::new("127.0.0.1"));
    socket2::SockRef::from(&from).set_tos_v4(46 << 2).unwrap();
    from.send_to(b"ef", bound(&pair.inside)).unwrap();
    pair.forward(1, bound(&to.inside).into());
    let mut to = to;
    to.io.wait(Wait::Event).unwrap();
    let Some(Event::Received { traffic_class, buffer, .. }) = to.io.next_event() else { panic!("a datagram") };
    assert_eq!(traffic_class, 46 << 2);
    to.io.release(buffer);
}

fn arrivals_have_a_time_if_they_were_to_and_their_traffic_class_still<I: Make>() {
    let wall = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for host in ["127.0.0.1", "::1"] {
        let mut pair = Pair::<I>::new(host);
        socket::stamp_arrivals(pair.inside.as_fd()).unwrap();
        // The kernel begins to stamp a little later, where nobody else wanted it to before.
        std::thread::sleep(Duration::from_millis(100));
        let from = peer(host);
        mark(&from, 46 << 2);
        let before = wall();
        from.send_to(b"when?", bound(&pair.inside)).unwrap();
        let sent = wall();
        std::thread::sleep(Duration::from_millis(20));
        pair.io.wait(Wait::Event).unwrap();
        let Some(Event::Received { arrived, traffic_class, buffer, .. }) = pair.io.next_event() else { panic!() };
        assert_eq!(traffic_class, 46 << 2);
        let arrived = arrived.expect("a time");
        assert!(before <= arrived && arrived <= sent + Duration::from_millis(10), "{before:?} {arrived:?} {sent:?}");
        pair.io.release(buffer);
    }
}

fn mark(socket: &UdpSocket, traffic_class: u32) {
    let here = socket2::SockRef::from(socket);
    let done = match socket.local_addr().unwrap() {
        std::net::SocketAddr::V4(_) => here.set_tos_v4(traffic_class),
        std::net::SocketAddr::V6(_) => here.set_tclass_v6(traffic_class),
    };
    done.unwrap();
}

fn gathering_ends_by_itself<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    peer("127.0.0.1").send_to(b"alone", bound(&pair.inside)).unwrap();
    let mut waits = 0;
    let buffer = loop {
        pair.io.wait(Wait::Gather).unwrap();
        waits += 1;
        if let Some(Event::Received { buffer, .. }) = pair.io.next_event() {
            break buffer;
        }
    };
    assert!(waits < 1000, "one datagram is enough in the end");
    pair.io.release(buffer);
}

fn a_wait_ends_at_its_time<I: Make>() {
    let mut pair = Pair::<I>::new("127.0.0.1");
    let begun = std::time::Instant::now();
    pair.io.wait(Wait::AtMost(Duration::from_millis(30))).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(29) && pair.io.next_event().is_none());
    pair.io.wait(Wait::AtMost(Duration::ZERO)).unwrap();
}

fn own_datagrams_leave_and_their_buffers_come_back<I: Make>() {
    let (mut pair, to) = (Pair::<I>::new("127.0.0.1"), peer("127.0.0.1"));
    for round in 0..3 {
        let own: Vec<Buffer> = std::iter::from_fn(|| pair.io.originate()).collect();
        assert_eq!(own.len(), 4, "as many as were asked for");
        for buffer in own {
            pair.io.memory(&buffer)[..3].copy_from_slice(&[b'a', b'b', round]);
            pair.io.send(pair.outside.as_raw_fd(), to.local_addr().unwrap().into(), 0, buffer, 0..3);
        }
        pair.io.wait(Wait::AtMost(Duration::ZERO)).unwrap();
    }
    let mut buffer = [0; 8];
    for at in 0..12 {
        assert_eq!(to.recv(&mut buffer).unwrap(), 3);
        assert_eq!(buffer[..3], [b'a', b'b', at / 4]);
    }
}

macro_rules! with_each_back_end {
    ($($test:ident)*) => {
        mod uring {
            $(#[test] fn $test() { super::$test::<super::Uring>(); })*
        }
        mod mmsg {
            $(#[test] fn $test() { super::$test::<super::Mmsg>(); })*
        }
    };
}

with_each_back_end! {
    datagrams_pass_in_order_with_their_sizes_over_both_families
    more_datagrams_than_buffers_pass_in_several_batches
    an_oversized_datagram_is_marked
    a_stopped_socket_says_so_and_receives_no_more
    an_unreachable_peer_is_told_and_receiving_goes_on
    a_traffic_class_survives
    arrivals_have_a_time_if_they_were_to_and_their_traffic_class_still
    gathering_ends_by_itself
    a_wait_ends_at_its_time
    own_datagrams_leave_and_their_buffers_come_back
}
