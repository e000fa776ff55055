//! `aioice` as the peer, over loopback.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use raceway_ice::{Agent, Candidate, Component, Credentials, Mode, Role};
use raceway_units::Instant;

use crate::world::credentials;

/// Debian's own, which has the package `python3-aioice`.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peer_aioice.py");

/// Whether there is an `aioice`; where all tests must run there has to be.
fn is_there() -> bool {
    let found = Command::new(PYTHON).args(["-c", "import aioice"]).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("RACEWAY_REQUIRE_BPF").is_none(), "must run here: no python3-aioice");
    if !found {
        println!("skipped: no aioice: apt-get install python3-aioice");
    }
    found
}

struct Peer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(role: &str, ours: &Credentials, at: SocketAddr, lite: &str) -> Self {
        let (ip, port) = (at.ip().to_string(), at.port().to_string());
        let arguments = [SCRIPT, role, ours.ufrag(), ours.password(), &ip, &port, lite];
        let mut child = Command::new(PYTHON).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("aioice goes on").unwrap()
    }
}

/// Lets an agent and `aioice` connect, send each other a datagram, and keep consent for a while.
fn connect(mode: Mode, role: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let base = socket.local_addr().unwrap();
    let mut agent = Agent::new(mode, credentials(1), &[base], [7; 32]);
    let lite = if mode == Mode::Lite { "lite" } else { "full" };
    let mut peer = Peer::start(role, &credentials(1), base, lite);
    let hello = peer.line();
    let [_, ufrag, password, port, priority] = hello.split(' ').collect::<Vec<_>>()[..] else { panic!("{hello}") };
    let remote = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    agent.set_remote(Credentials::new(ufrag, password).unwrap());
    let candidate = Candidate { component: Component::Rtp, address: remote, priority: priority.parse().unwrap() };
    agent.add_remote_candidate(Instant::default(), candidate).unwrap();

    let start = std::time::Instant::now();
    let mut echoed = false;
    while start.elapsed() < Duration::from_secs(12) {
        let now = Instant::from_ns(start.elapsed().as_nanos() as u64);
        agent.handle_timeout(now);
        let mut buffer = [0; 1500];
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let datagram = &buffer[..length];
            if datagram[0] < 4 {
                agent.handle_datagram(now, base, from, datagram);
            } else {
                // The peer may be done a moment before we have its answer to the check that nominates.
                assert_eq!((datagram, from), (&b"\x80media"[..], remote));
                socket.send_to(datagram, from).unwrap();
                echoed = true;
            }
        }
        while let Some(transmit) = agent.poll_transmit() {
            socket.send_to(&transmit.payload, transmit.remote).unwrap();
        }
        while let Some(event) = agent.poll_event() {
            assert_eq!(event, crate::world::nominated(remote), "after {:?}", start.elapsed());
        }
    }
    assert!(echoed, "media arrived");
    assert_eq!(agent.selected(Component::Rtp), Some(remote), "consent is kept for twice its interval");
    assert_eq!((peer.line(), peer.line()), ("connected".to_owned(), "received 806d65646961".to_owned()));
}

#[test]
fn a_lite_agent_connects_to_aioice() {
    if is_there() {
        connect(Mode::Lite, "controlling");
    }
}

#[test]
fn a_full_agent_connects_to_aioice_in_either_role() {
    if is_there() {
        std::thread::scope(|scope| {
            scope.spawn(|| connect(Mode::Full(Role::Controlling), "controlled"));
            scope.spawn(|| connect(Mode::Full(Role::Controlled), "controlling"));
        });
    }
}

#[test]
fn a_role_conflict_with_aioice_is_settled() {
    if is_there() {
        connect(Mode::Full(Role::Controlling), "controlling");
    }
}
