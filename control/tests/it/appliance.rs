//! Relay and control together, as users meet them.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::client::{
    BINDING, CHANNEL_BIND, CHANNEL_NUMBER, CREATE_PERMISSION, REFRESH, XOR_MAPPED_ADDRESS, XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS, xor_address,
};
use crate::machine::{Appliance, PASSWORD, Udp};

const LOOPBACK_PEERS: &str = "[turn.policy]\nallow_peers = [\"127.0.0.1/32\"]";

/// A peer, and a client with a channel to it.
fn channel(appliance: &Appliance, number: u16) -> (UdpSocket, Udp, SocketAddr) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    peer.set_read_timeout(Some(Duration::from_millis(500))).expect("not zero");
    let mut client = appliance.client(PASSWORD);
    let allocated = client.allocate();
    assert!(allocated.is_success(), "{allocated:?}");
    let relayed = allocated.address(XOR_RELAYED_ADDRESS);
    let number = [number.to_be_bytes(), [0, 0]].concat();
    let to = xor_address(peer.local_addr().expect("bound"));
    let bound = client.ask(CHANNEL_BIND, &[(CHANNEL_NUMBER, &number), (XOR_PEER_ADDRESS, &to)]);
    assert!(bound.is_success(), "{bound:?}");
    (peer, client, relayed)
}

/// Takes what has arrived.
fn drain(peer: &UdpSocket, client: &Udp) {
    while peer.recv_from(&mut [0; 64]).is_ok() {}
    while client.receive().is_some() {}
}

/// One datagram each way.
fn talk(peer: &UdpSocket, client: &Udp, relayed: SocketAddr, number: u16) -> bool {
    let mut buffer = [0; 64];
    client.send(number, b"to the peer");
    let Ok((length, from)) = peer.recv_from(&mut buffer) else { return false };
    assert_eq!((&buffer[..length], from), (&b"to the peer"[..], relayed));
    peer.send_to(b"to the client", relayed).expect("loopback");
    match client.receive() {
        Some(received) => received == (number, b"to the client".to_vec()),
        None => false,
    }
}

#[test]
fn a_client_is_answered_and_relayed_and_counted() {
    let appliance = Appliance::start(LOOPBACK_PEERS);
    let mut stranger = appliance.client("wrong");
    let own = stranger.socket.local_addr().expect("bound");
    assert_eq!(stranger.ask(BINDING, &[]).address(XOR_MAPPED_ADDRESS), own);
    assert_eq!(stranger.allocate().error_code(), Some(401));

    let (peer, client, relayed) = channel(&appliance, 0x4123);
    appliance.wait_for("media", || talk(&peer, &client, relayed, 0x4123));
    // On a slow machine the client asks and sends again.
    assert!(appliance.metric("raceway_packets_total{path=\"worker\",direction=\"client_to_peer\"}") >= 1.0);
    assert_eq!(appliance.metric("raceway_octets_total{path=\"worker\",direction=\"peer_to_client\"}") % 13.0, 0.0);
    assert!(appliance.metric("raceway_turn_requests_total{method=\"allocate\",result=\"success\"}") >= 1.0);
    assert_eq!(appliance.metric("raceway_turn_allocations{family=\"ipv4\"}"), 1.0);
    assert_eq!(appliance.metric("raceway_sessions"), 1.0);
    assert!(appliance.metric("raceway_punt_latency_seconds_count") >= 5.0);
    let sessions = appliance.ctl_text(&["sessions"]);
    assert!(sessions.contains(&relayed.to_string()), "{sessions}");
    let flows: serde_json::Value = serde_json::from_str(&appliance.ctl_text(&["--json", "flows"])).expect("JSON");
    assert_eq!(flows["total"], 5, "{flows}");
    assert!(appliance.ctl_text(&["session", "1"]).contains("channel     0x4123"));
    assert_eq!(appliance.ctl(&["session", "77"]).status.code(), Some(1));
    assert_eq!(appliance.ctl_text(&["end", "1"]), "Session 1 has ended\n");
    // What was sent twice may have arrived twice.
    drain(&peer, &client);
    assert!(!talk(&peer, &client, relayed, 0x4123));
    assert_eq!(appliance.ctl(&["end", "1"]).status.code(), Some(1));
    assert_eq!(appliance.metric("raceway_sessions"), 0.0);
}

#[test]
fn a_key_of_turnadmin_is_as_good_as_its_password() {
    let appliance = Appliance::prepare("");
    let text = std::fs::read_to_string(appliance.config()).expect("was just written");
    // turnadmin -k -u user -r test -p pass
    let text = text.replace("\"pass\"", "\"0x0f1cafcb677261987de453fb58ea335f\"");
    std::fs::write(appliance.config(), text).expect("our directory");
    let mut appliance = appliance;
    appliance.start_relay();
    appliance.start_control();
    appliance.wait_ready();
    assert!(appliance.client(PASSWORD).allocate().is_success());
    assert_eq!(appliance.client("wrong").allocate().error_code(), Some(401));
}

#[test]
fn private_peers_are_refused_unless_allowed() {
    let appliance = Appliance::start("");
    let mut client = appliance.client(PASSWORD);
    assert!(client.allocate().is_success());
    let peer = xor_address("10.0.0.1:9".parse().expect("an address"));
    let refused = client.ask(CREATE_PERMISSION, &[(XOR_PEER_ADDRESS, &peer)]);
    assert_eq!(refused.error_code(), Some(403));
    appliance.configure("[turn.policy]\nallow_peers = [\"10.0.0.0/8\"]");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let other = taken.local_addr().expect("bound");
    let text = std::fs::read_to_string(appliance.config()).expect("was just written");
    let own = format!("\"{}\"", appliance.listen);
    std::fs::write(appliance.config(), text.replace(&own, &format!("{own}, \"{other}\""))).expect("our directory");
    let refused = String::from_utf8(appliance.ctl(&["reload"]).stderr).expect("UTF-8");
    assert!(refused.contains("turn.listen[1]") && refused.contains("in use by another program"), "{refused}");
    drop(taken);
    appliance.configure("[turn.policy]\nallow_peers = [\"10.0.0.0/8\"]");
    let said = appliance.ctl_text(&["reload"]);
    assert_eq!(said, "turn.policy.allow_peers: [] -> [10.0.0.0/8] (applied)\n");
    assert!(client.ask(CREATE_PERMISSION, &[(XOR_PEER_ADDRESS, &peer)]).is_success());
}

#[test]
fn a_bad_reload_changes_nothing_and_says_where_it_is_wrong() {
    let appliance = Appliance::start(LOOPBACK_PEERS);
    let (peer, client, relayed) = channel(&appliance, 0x4000);
    appliance.configure("lifetime_max_s = 5\n[turn.policy]\nquota_totl = 1");
    let refused = appliance.ctl(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let file = appliance.config();
    let said = String::from_utf8(refused.stderr).expect("UTF-8");
    let expected = format!(
        "{0}:17: turn.lifetime_max_s: the longest lifetime, 5 s, is below the default one, 600 s; write a lifetime_max_s \
         of at least lifetime_default_s\n{0}:19: turn.policy.quota_totl: unknown key; did you mean \"quota_total\"?\n",
        file.display()
    );
    assert_eq!(said, expected);
    assert!(talk(&peer, &client, relayed, 0x4000));

    appliance.configure(&format!("{LOOPBACK_PEERS}\nquota_total = 1\n[log]\nformat = \"json\""));
    appliance.control.as_ref().expect("started").signal(Signal::SIGHUP);
    let log = || appliance.control.as_ref().expect("started").log();
    appliance.wait_for("the reload", || log().contains("log.format: text -> json (needs a restart of"));
    assert!(log().contains("turn.policy.quota_total: 0 -> 1 (applied)"));
    assert!(talk(&peer, &client, relayed, 0x4000));
    assert_eq!(appliance.client(PASSWORD).allocate().error_code(), Some(486));
}

#[test]
fn control_may_die_and_come_back_while_media_flows() {
    let mut appliance = Appliance::start(LOOPBACK_PEERS);
    let (peer, mut client, relayed) = channel(&appliance, 0x4000);
    appliance.control.as_mut().expect("started").kill();
    assert!(talk(&peer, &client, relayed, 0x4000));
    assert_eq!(appliance.ctl(&["status"]).status.code(), Some(3));
    appliance.start_control();
    appliance.wait_ready();
    assert!(talk(&peer, &client, relayed, 0x4000));
    let refreshed = client.ask(REFRESH, &[]);
    assert!(refreshed.is_success(), "the old nonce and the old session hold: {refreshed:?}");
    assert!(appliance.client(PASSWORD).allocate().is_success());
    assert_eq!(appliance.metric("raceway_sessions"), 2.0);
    assert_eq!(appliance.metric("raceway_control_restarts_total"), 1.0);
}

#[test]
fn the_relay_may_die_and_come_back_and_is_told_everything() {
    let mut appliance = Appliance::start(LOOPBACK_PEERS);
    let (peer, mut client, relayed) = channel(&appliance, 0x4000);
    assert!(talk(&peer, &client, relayed, 0x4000));
    let before = appliance.metric("raceway_packets_total{path=\"worker\",direction=\"client_to_peer\"}");
    appliance.relay.as_mut().expect("started").kill();
    appliance.wait_for("a not ready", || appliance.get("/readyz").is_some_and(|page| page.contains("no relay")));
    assert_eq!(appliance.metric("raceway_relay_up"), 0.0);
    let last = appliance.metric("raceway_packets_total{path=\"worker\",direction=\"client_to_peer\"}");
    assert_eq!(last, before, "the last figures stay on the page");
    assert!(appliance.ctl_text(&["status"]).contains("away; these are its last figures"));
    appliance.start_relay();
    appliance.wait_for("media", || talk(&peer, &client, relayed, 0x4000));
    assert!(client.ask(REFRESH, &[]).is_success());
    appliance.wait_ready();
}

#[test]
fn draining_refuses_newcomers_and_leaves_the_others() {
    let appliance = Appliance::start(LOOPBACK_PEERS);
    let (peer, mut client, relayed) = channel(&appliance, 0x4000);
    assert!(appliance.ctl_text(&["drain"]).contains("sessions left: 1"));
    assert_eq!(appliance.client(PASSWORD).allocate().error_code(), Some(508));
    assert!(client.ask(REFRESH, &[]).is_success());
    assert!(talk(&peer, &client, relayed, 0x4000));
    assert!(appliance.get("/readyz").expect("control serves").contains("not ready: draining"));
    appliance.ctl_text(&["drain", "--off"]);
    assert!(appliance.client(PASSWORD).allocate().is_success());
}

#[test]
fn metrics_please_promtool() {
    let appliance = Appliance::start(LOOPBACK_PEERS);
    let (peer, client, relayed) = channel(&appliance, 0x4000);
    assert!(talk(&peer, &client, relayed, 0x4000));
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        assert!(std::env::var_os("RACEWAY_REQUIRE_BPF").is_none(), "promtool is not installed");
        eprintln!("skipped: promtool is not installed (apt-get install prometheus)");
        return;
    };
    promtool.stdin.take().expect("piped").write_all(appliance.metrics().as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_ordinary_user_can_run_it_and_root_does_not_stay_root() {
    if !nix::unistd::geteuid().is_root() {
        drop(Appliance::start(""));
        eprintln!("skipped: what root becomes is only seen by root");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").expect("asked").expect("exists");
    let appliance = Appliance::start_as(nobody.uid.as_raw(), nobody.gid.as_raw());
    assert!(appliance.client(PASSWORD).allocate().is_success());
    drop(appliance);
    let appliance = Appliance::start("");
    let control = appliance.control.as_ref().expect("started");
    let status = std::fs::read_to_string(format!("/proc/{}/status", control.child.id())).expect("it runs");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect("a line").to_owned();
    let nobody = nobody.uid.to_string();
    assert!(line("Uid:").split_whitespace().all(|uid| uid != "0" && uid != nobody), "{status}");
    assert!(line("Groups:").split_whitespace().all(|gid| gid != "0"), "{status}");
    assert_eq!(line("CapEff:").trim(), "0000000000000000");
    assert_eq!(line("CapPrm:").trim(), "0000000000000000");
    assert_eq!(line("NoNewPrivs:").trim(), "1");
}

#[test]
fn whoever_ends_leaves_no_socket_behind() {
    let mut appliance = Appliance::start("");
    let run = appliance.directory.join("run");
    let names = || std::fs::read_dir(&run).expect("made").map(|entry| entry.expect("readable").file_name());
    assert_eq!(names().count(), 2);
    for process in [&mut appliance.control, &mut appliance.relay] {
        let mut process = process.take().expect("started");
        process.signal(Signal::SIGTERM);
        assert!(process.child.wait().expect("our child").success(), "{}", process.log());
    }
    assert_eq!(names().next(), None);
    appliance.start_relay();
    appliance.start_control();
    appliance.wait_ready();
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let mut appliance = Appliance::prepare("[turn.policy]\ndeny_peers = [\"10.0.0.1/8\"]");
    appliance.start_control();
    let control = appliance.control.as_mut().expect("started");
    assert_eq!(control.child.wait().expect("our child").code(), Some(2));
    let expected = format!(
        "{}:18: turn.policy.deny_peers[0]: \"10.0.0.1/8\" has bits set behind its prefix; write \"10.0.0.0/8\" for the \
         network, \"10.0.0.1\" for the one address\n",
        appliance.config().display()
    );
    assert_eq!(appliance.logs(), expected);
    assert!(!appliance.directory.join("run").exists() && !appliance.directory.join("state").exists());
}

#[test]
fn a_second_control_is_refused() {
    let mut appliance = Appliance::start("");
    let first = appliance.control.take();
    appliance.start_control();
    let control = appliance.control.as_mut().expect("started");
    assert_eq!(control.child.wait().expect("our child").code(), Some(1));
    assert!(control.log().contains("another raceway-control serves"), "{}", control.log());
    assert!(appliance.client(PASSWORD).allocate().is_success());
    drop(first);
}

#[test]
fn racewayctl_says_what_to_do_when_nothing_runs() {
    let appliance = Appliance::prepare("");
    let output = appliance.ctl(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("raceway-control is not running") && said.contains("scripts/up"), "{said}");
    let output = appliance.ctl(&["--json", "status"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(said["error"].as_str().is_some_and(|error| error.contains("not running")), "{said}");
    let checks: serde_json::Value =
        serde_json::from_slice(&appliance.ctl(&["--json", "doctor"]).stdout).expect("doctor needs nobody");
    let names: Vec<&str> =
        checks.as_array().expect("a list").iter().filter_map(|check| check["name"].as_str()).collect();
    assert!(names.contains(&"raceway-control") && names.contains(&"kernel"), "{names:?}");
}
