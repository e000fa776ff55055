use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::socket::{self, Purpose};

/// A relay of two sockets: what arrives at one leaves from the other.
struct Pair {
    uring: Uring,
    inside: OwnedFd,
    outside: OwnedFd,
    waker: Waker,
    /// Leave from the socket that they came to, which the ring has registered.
    reflects: bool,
}

fn bound(fd: &OwnedFd) -> std::net::SocketAddr {
    socket2::SockRef::from(fd).local_addr().unwrap().as_socket().unwrap()
}

impl Pair {
    fn new(host: &str) -> Self {
        let any = |purpose| socket::open((host.parse::<std::net::IpAddr>().unwrap(), 0).into(), purpose).unwrap();
        let waker = Waker::new().unwrap();
        let mut uring = Uring::new(8, waker.clone()).expect("io_uring");
        let (inside, outside) = (any(Purpose::Listener), any(Purpose::Relayed));
        uring.receive(1, inside.as_raw_fd());
        Self { uring, inside, outside, waker, reflects: false }
    }

    /// Forwards `count` datagrams to `to`; returns their sizes and where they came from.
    fn forward(&mut self, count: usize, to: Address) -> Vec<(usize, Option<Address>)> {
        let mut seen = Vec::new();
        while seen.len() < count {
            self.uring.wait(false).unwrap();
            while let Some(event) = self.uring.next_event() {
                if let Event::Received { buffer, length, remote, traffic_class, .. } = event {
                    seen.push((length, remote));
                    let payload = HEADROOM..HEADROOM + length;
                    let (socket, fd) = if self.reflects { (1, &self.inside) } else { (2, &self.outside) };
                    let from = Sender { socket, fd: fd.as_raw_fd() };
                    self.uring.send(from, to, traffic_class, buffer, payload);
                }
            }
        }
        // The last batch is still to be handed over.
        self.waker.wake();
        self.uring.wait(false).unwrap();
        while self.uring.next_event().is_some() {}
        seen
    }
}

fn peer(host: &str) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

#[test]
fn datagrams_pass_in_order_with_their_sizes_over_both_families() {
    for (host, reflects) in [("127.0.0.1", false), ("::1", false), ("127.0.0.1", true)] {
        let mut pair = Pair::new(host);
        pair.reflects = reflects;
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
        assert_eq!(pair.uring.figures().sends_failed, 0);
    }
}

#[test]
fn more_datagrams_than_buffers_pass_in_several_batches() {
    let mut pair = Pair::new("127.0.0.1");
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

#[test]
fn an_oversized_datagram_is_marked() {
    let mut pair = Pair::new("127.0.0.1");
    peer("127.0.0.1").send_to(&[1; PAYLOAD_MAX + 1], bound(&pair.inside)).unwrap();
    pair.uring.wait(false).unwrap();
    let Some(Event::Received { length, truncated, buffer, .. }) = pair.uring.next_event() else { panic!("a datagram") };
    assert_eq!((length, truncated), (PAYLOAD_MAX, true));
    pair.uring.release(buffer);
}

#[test]
fn a_stopped_socket_says_so_and_receives_no_more() {
    let mut pair = Pair::new("127.0.0.1");
    let from = peer("127.0.0.1");
    pair.uring.stop(1);
    let stopped = loop {
        pair.uring.wait(false).unwrap();
        if let Some(Event::Stopped { socket }) = pair.uring.next_event() {
            break socket;
        }
    };
    assert_eq!(stopped, 1);
    from.send_to(b"late", bound(&pair.inside)).unwrap();
    pair.waker.wake();
    pair.uring.wait(false).unwrap();
    assert!(matches!(pair.uring.next_event(), Some(Event::Woken)));
    assert!(pair.uring.next_event().is_none());
}

#[test]
fn an_unreachable_peer_is_told_and_receiving_goes_on() {
    let mut pair = Pair::new("127.0.0.1");
    pair.uring.receive(2, pair.outside.as_raw_fd());
    let closed = peer("127.0.0.1").local_addr().unwrap();
    socket::send_to(pair.outside.as_raw_fd(), closed.into(), b"x").unwrap();
    pair.uring.wait(false).unwrap();
    assert!(matches!(pair.uring.next_event(), Some(Event::NetworkError { socket: 2 })));
    assert!(socket::network_error(pair.outside.as_raw_fd()).is_some());
    peer("127.0.0.1").send_to(b"hello", bound(&pair.outside)).unwrap();
    loop {
        pair.uring.wait(false).unwrap();
        if let Some(Event::Received { socket, length, buffer, .. }) = pair.uring.next_event() {
            assert_eq!((socket, length), (2, 5));
            pair.uring.release(buffer);
            break;
        }
    }
}

#[test]
fn a_traffic_class_survives() {
    let mut pair = Pair::new("127.0.0.1");
    let (from, to) = (peer("127.0.0.1"), Pair::new("127.0.0.1"));
    socket2::SockRef::from(&from).set_tos_v4(46 << 2).unwrap();
    from.send_to(b"ef", bound(&pair.inside)).unwrap();
    pair.forward(1, bound(&to.inside).into());
    let mut to = to;
    to.uring.wait(false).unwrap();
    let Some(Event::Received { traffic_class, buffer, .. }) = to.uring.next_event() else { panic!("a datagram") };
    assert_eq!(traffic_class, 46 << 2);
    to.uring.release(buffer);
}

#[test]
fn gathering_ends_by_itself() {
    let mut pair = Pair::new("127.0.0.1");
    peer("127.0.0.1").send_to(b"alone", bound(&pair.inside)).unwrap();
    let mut waits = 0;
    let buffer = loop {
        pair.uring.wait(true).unwrap();
        waits += 1;
        if let Some(Event::Received { buffer, .. }) = pair.uring.next_event() {
            break buffer;
        }
    };
    assert!(waits < 1000, "one datagram is enough in the end");
    pair.uring.release(buffer);
}
