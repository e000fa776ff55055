//! The `openssl` command as the peer, over loopback: both roles, kinds of certificates, fragments; and the same keys.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use raceway_dtls::{Association, Event, Failure, Fingerprint, Keys, Profile, Role};
use raceway_units::Instant;

use crate::world::IDENTITIES;

/// A certificate of the peer.
struct Credential {
    certificate: PathBuf,
    key: PathBuf,
    fingerprint: Fingerprint,
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dtls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `kind` is what `-newkey` takes, with options after it.
fn credential(name: &str, kind: &[&str]) -> Credential {
    let [certificate, key] = ["crt", "key"].map(|end| folder().join(format!("{name}.{end}")));
    let [out, keyout] = [&certificate, &key].map(|path| path.to_str().unwrap());
    let subject =
        ["req", "-x509", "-nodes", "-subj", "/CN=peer", "-days", "2", "-out", out, "-keyout", keyout, "-newkey"];
    openssl(&[&subject, kind].concat());
    let text = openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in", out]);
    let value = text.trim().split_once('=').unwrap().1;
    Credential { fingerprint: format!("SHA-256 {value}").parse().unwrap(), certificate, key }
}

struct Peer {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl is installed");
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines }
    }

    /// The value of the first line with this beginning.
    fn value(&self, beginning: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(10)) {
            if let Some(value) = line.trim().strip_prefix(beginning) {
                return value.trim().to_owned();
            }
            seen.push(line);
        }
        panic!("openssl never said {beginning:?}: {seen:#?}");
    }
}

/// Drives an association over a socket until it has keys or has failed.
fn drive(association: &mut Association, socket: &UdpSocket, mut remote: Option<SocketAddr>) -> Event {
    let start = std::time::Instant::now();
    let now = || Instant::from_ns(1_000_000_000 + start.elapsed().as_nanos() as u64);
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    if let Some(remote) = remote {
        association.allow(now(), remote);
    }
    let mut buffer = [0; 2048];
    let mut ended = None;
    while start.elapsed() < Duration::from_secs(15) {
        while let Some(transmit) = association.poll_transmit() {
            // On loopback a server that is not there yet refuses; it is asked again.
            let _ = socket.send_to(&transmit.payload, transmit.remote);
        }
        if let Some(event) = ended {
            return event;
        }
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if remote.is_none() {
                association.allow(now(), from);
                remote = Some(from);
            }
            association.handle_datagram(now(), from, &buffer[..length]);
        }
        association.handle_timeout(now());
        ended = association.poll_event();
    }
    panic!("neither keys nor a failure");
}

/// One handshake with `openssl s_client` or `s_server`; the association's end, and what `openssl` exported if it got so far.
fn shake(role: Role, credential: &Credential, profile: &str, options: &[&str]) -> (Event, Peer) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut association = Association::new(role, &IDENTITIES[0], &Profile::ALL).unwrap();
    association.set_fingerprints(Instant::default(), vec![credential.fingerprint.clone()]);
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (kind, at, remote) = match role {
        Role::Passive => (["s_client", "-connect"], socket.local_addr().unwrap(), None),
        Role::Active => (["s_server", "-accept"], free, Some(free)),
    };
    let at = at.to_string();
    let [certificate, key] = [&credential.certificate, &credential.key].map(|path| path.to_str().unwrap());
    let fixed = ["-dtls1_2", "-cert", certificate, "-key", key, "-use_srtp", profile];
    let export = ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "88"];
    let verify: &[&str] = if role == Role::Active { &["-Verify", "1", "-verify_quiet"] } else { &["-verify_quiet"] };
    let peer = Peer::start(&[&kind[..], &[&at], &fixed, &export, verify, options].concat());
    (drive(&mut association, &socket, remote), peer)
}

fn assert_same_keys(event: &Event, peer: &Peer, profile: Profile) {
    let Event::Keys(keys) = event else { panic!("{event:?}") };
    assert_eq!(keys.profile(), profile);
    let exported = peer.value("Keying material:");
    // An exporter's output of another length begins alike.
    assert!(exported.starts_with(&hexadecimal(keys)), "{exported}");
}

fn hexadecimal(keys: &Keys) -> String {
    keys.material().iter().map(|octet| format!("{octet:02X}")).collect()
}

/// Both roles with a certificate of the peer.
fn assert_connects(name: &str, kind: &[&str], options: &[&str]) {
    let credential = credential(name, kind);
    for role in [Role::Passive, Role::Active] {
        let (event, peer) = shake(role, &credential, "SRTP_AES128_CM_SHA1_80", options);
        assert_same_keys(&event, &peer, Profile::Aes128CmSha1_80);
    }
}

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn a_peer_with_an_ecdsa_certificate_connects() {
    assert_connects("p256", P256, &[]);
    assert_connects("p384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], &[]);
}

#[test]
fn a_peer_with_an_rsa_certificate_connects() {
    assert_connects("rsa2048", &["rsa:2048"], &[]);
    assert_connects("rsa4096", &["rsa:4096"], &[]);
}

#[test]
fn a_peer_with_a_short_rsa_key_connects() {
    assert_connects("rsa1024", &["rsa:1024"], &["-cipher", "DEFAULT@SECLEVEL=1"]);
}

#[test]
fn a_peer_that_takes_ecdsa_alone_connects() {
    let options = ["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-sigalgs", "ECDSA+SHA256"];
    assert_connects("ecdsa-only", P256, &options);
}

#[test]
fn a_peer_without_aead_connects() {
    assert_connects("cbc", P256, &["-cipher", "ECDHE-ECDSA-AES128-SHA"]);
}

#[test]
fn a_peer_that_sends_fragments_connects() {
    assert_connects("fragments", &["rsa:4096"], &["-mtu", "256"]);
}

#[test]
fn every_profile_gives_the_same_keys() {
    let credential = credential("profiles", P256);
    for (name, profile) in [
        ("SRTP_AES128_CM_SHA1_32", Profile::Aes128CmSha1_32),
        ("SRTP_AEAD_AES_128_GCM", Profile::AeadAes128Gcm),
        ("SRTP_AEAD_AES_256_GCM", Profile::AeadAes256Gcm),
    ] {
        for role in [Role::Passive, Role::Active] {
            let (event, peer) = shake(role, &credential, name, &[]);
            assert_same_keys(&event, &peer, profile);
        }
    }
}

#[test]
fn a_peer_with_another_certificate_than_its_sdp_says_gets_no_keys() {
    let [mut shown, named] = ["shown", "named"].map(|name| credential(name, P256));
    shown.fingerprint = named.fingerprint;
    for role in [Role::Passive, Role::Active] {
        let (event, _peer) = shake(role, &shown, "SRTP_AES128_CM_SHA1_80", &[]);
        assert_eq!(event, Event::Failed(Failure::Fingerprint));
    }
}

#[test]
fn the_peer_understands_our_goodbye() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let credential = credential("goodbye", P256);
    let mut association = Association::new(Role::Passive, &IDENTITIES[0], &Profile::ALL).unwrap();
    association.set_fingerprints(Instant::default(), vec![credential.fingerprint.clone()]);
    let at = socket.local_addr().unwrap().to_string();
    let [certificate, key] = [&credential.certificate, &credential.key].map(|path| path.to_str().unwrap());
    let peer = Peer::start(&[
        "s_client",
        "-dtls1_2",
        "-connect",
        &at,
        "-cert",
        certificate,
        "-key",
        key,
        "-use_srtp",
        "SRTP_AEAD_AES_128_GCM",
    ]);
    assert!(matches!(drive(&mut association, &socket, None), Event::Keys(_)));
    association.close();
    let goodbye = association.poll_transmit().unwrap();
    socket.send_to(&goodbye.payload, goodbye.remote).unwrap();
    peer.value("closed");
}

#[test]
fn a_client_without_a_certificate_gets_no_keys() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut association = Association::new(Role::Passive, &IDENTITIES[0], &Profile::ALL).unwrap();
    association.set_fingerprints(Instant::default(), vec![credential("absent", P256).fingerprint]);
    let at = socket.local_addr().unwrap().to_string();
    let _peer = Peer::start(&["s_client", "-dtls1_2", "-connect", &at, "-use_srtp", "SRTP_AES128_CM_SHA1_80"]);
    let event = drive(&mut association, &socket, None);
    assert!(matches!(event, Event::Failed(Failure::Handshake(_))), "{event:?}");
}
