//! Recordings as whoever has the private half of the key finds them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raceway_api::{
    FromRelay, Operation, OperationError, Recording, RecordingProblem, RecordingReport, RecordingState, SessionId,
    ToRelay,
};

use crate::harness::{Call, Control, Relay};
use crate::legs::{Talk, rtp};

/// What `age-keygen` made for these tests.
const PUBLIC_KEY: &str = "age1532dk22tkemme69l055ytsv4ca7v3ulm3dnsux60ez0kt6l5x5zstv3s5a";
const IDENTITY: &str = "AGE-SECRET-KEY-1M9PFZAQY590QYFHLH075RSEP8XQMP5X7F2MY37HUVECCYDS0C8SQG870ZP";
const LONG: Duration = Duration::from_secs(60);
/// Longer than the relay waits before it tries again.
const PATIENCE: Duration = Duration::from_secs(12);
const PARTIES: [&str; 2] = ["127.0.0.7", "127.0.0.9"];

/// A directory for recordings; gone in the end.
struct Shelf(PathBuf);

impl Shelf {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("raceway-shelf-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// A relay that records here.
    fn relay(&self, back_end: &'static str, limits: &str) -> Relay {
        let directory = self.0.display();
        Relay::start_with(
            back_end,
            &format!(
                "workers = [0]\nxdp = \"off\"\npin_dir = \"/sys/fs/bpf/raceway-shelf\"\n[recording]\n\
                 directory = \"{directory}\"\npublic_key = \"{PUBLIC_KEY}\"\n{limits}"
            ),
        )
    }

    fn file(&self, stem: &str, part: u32, kind: &str) -> PathBuf {
        self.0.join(format!("{stem}-{part}.{kind}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII")).collect();
        names.sort_unstable();
        names
    }

    /// What `age` makes of a part, and whether it has an end.
    fn read(&self, stem: &str, part: u32) -> (Vec<Packet>, bool) {
        let file = [fs::read(self.file(stem, part, "key")), fs::read(self.file(stem, part, "body"))];
        let file = file.into_iter().flat_map(|octets| octets.expect("a file")).collect::<Vec<_>>();
        let identity = self.0.join("identity");
        fs::write(&identity, IDENTITY).expect("our directory");
        let mut age = Command::new("age");
        age.arg("-d").arg("-i").arg(&identity).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = age.spawn().expect("age is there");
        let mut stdin = child.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || drop(stdin.write_all(&file)));
        let output = child.wait_with_output().expect("it runs");
        writer.join().expect("written");
        fs::remove_file(&identity).expect("ours");
        (packets(&output.stdout), output.status.success())
    }

    /// The same of a part that is to have an end, once it has one.
    fn whole(&self, stem: &str, part: u32) -> Vec<Packet> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.file(stem, part, "body").exists() {
                let (packets, ended) = self.read(stem, part);
                if ended {
                    return packets;
                }
            }
            assert!(Instant::now() < until, "{stem}-{part} has no end");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Of a capture: nanoseconds since 1970, addresses and ports of IPv4, payload.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    ns: u64,
    from: std::net::SocketAddr,
    to: std::net::SocketAddr,
    payload: Vec<u8>,
}

/// Packets of the whole blocks of a capture.
fn packets(capture: &[u8]) -> Vec<Packet> {
    let word = |at: usize| capture.get(at..at + 4).map(|octets| u32::from_le_bytes(octets.try_into().expect("four")));
    let (mut at, mut packets) = (0, Vec::new());
    while let (Some(kind), Some(length)) = (word(at), word(at + 4)) {
        let Some(block) = capture.get(at..at + length as usize) else { break };
        if kind == 6 {
            let ns = u64::from(word(at + 12).expect("inside")) << 32 | u64::from(word(at + 16).expect("inside"));
            let frame = &block[28..28 + word(at + 20).expect("inside") as usize];
            let end = |address: &[u8], port: &[u8]| {
                let ip: [u8; 4] = address.try_into().expect("IPv4");
                (ip, u16::from_be_bytes(port.try_into().expect("a port"))).into()
            };
            packets.push(Packet {
                ns,
                from: end(&frame[12..16], &frame[20..22]),
                to: end(&frame[16..20], &frame[22..24]),
                payload: frame[28..].to_vec(),
            });
        }
        at += length as usize;
    }
    packets
}

/// Whether what these tests read with is there.
fn can_read() -> bool {
    let there = Command::new("age").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        assert!(std::env::var_os("RACEWAY_REQUIRE_BPF").is_none(), "age is not installed");
        println!("skipped: no age");
    }
    there
}

fn record(stem: &str, paused: bool) -> Operation<'_> {
    Operation::Record(Recording { stem: stem.into(), note: "{\"call\":\"7\"}".into(), paused })
}

impl Talk {
    /// Sets it up.
    fn begin(&self, control: &mut Control) {
        let mut operations = vec![self.put_session(LONG)];
        operations.extend(self.open());
        operations.extend(self.legs().into_iter().map(|leg| Operation::PutLeg(Box::new(leg))));
        self.does(control, operations);
    }

    /// Does this, and waits until it is done.
    fn does(&self, control: &mut Control, mut operations: Vec<Operation<'_>>) {
        operations.push(Operation::Confirm);
        control.apply(self.session, operations);
        wait(control, |message| matches!(message, FromRelay::Applied { .. }));
    }

    /// Has it recorded, and waits for the word that it is.
    fn is_recorded(&self, control: &mut Control, stem: &str) {
        control.apply(self.session, vec![record(stem, false)]);
        self.becomes(control, RecordingState::Writing);
    }

    fn becomes(&self, control: &mut Control, expected: RecordingState) {
        let session = SessionId(self.session);
        let until = Instant::now() + PATIENCE;
        let mut seen = None;
        while seen != Some(expected) {
            assert!(Instant::now() < until, "{seen:?} is not {expected:?}");
            match control.try_hear() {
                Some(FromRelay::Recording { session: of, state }) if of == session => seen = Some(state),
                Some(_) | None => {}
            }
        }
    }

    /// So many packets from each to the other, which arrive.
    fn go_on(&self, sequences: std::ops::Range<u16>, payload: &[u8]) {
        for sequence in sequences {
            for (from, to) in [(0, 1), (1, 0)] {
                let (from, to) = (&self.parties[from], &self.parties[to]);
                from.sends(&rtp(0, sequence, payload));
                to.rtp.receive();
            }
        }
    }

    fn recording(&self, control: &mut Control) -> Option<RecordingReport<'static>> {
        control.say(&ToRelay::Report { session: Some(SessionId(self.session)) });
        let FromRelay::Session(report) = wait(control, |message| matches!(message, FromRelay::Session(_))) else {
            unreachable!("it was waited for");
        };
        wait(control, |message| *message == FromRelay::SnapshotEnd);
        report.recording
    }
}

/// The next message of a kind.
fn wait(control: &mut Control, is_it: impl Fn(&FromRelay<'_>) -> bool) -> FromRelay<'static> {
    loop {
        let message = control.hear();
        assert!(!matches!(message, FromRelay::Failed { .. }), "{message:?}");
        if is_it(&message) {
            return message;
        }
    }
}

fn payloads(packets: &[Packet]) -> Vec<u16> {
    packets.iter().map(|packet| u16::from_be_bytes([packet.payload[2], packet.payload[3]])).collect()
}

#[test]
fn both_parties_are_in_the_recording_with_their_addresses_and_times() {
    if !can_read() {
        return;
    }
    for back_end in ["io-uring", "mmsg"] {
        let shelf = Shelf::new(back_end);
        let relay = shelf.relay(back_end, "");
        let (mut control, _) = relay.control(&[]);
        let talk = Talk::new(1, PARTIES);
        talk.begin(&mut control);
        talk.go_on(0..5, &[4; 160]);
        talk.is_recorded(&mut control, "first");
        let started = std::time::SystemTime::now();
        talk.go_on(5..205, &[5; 160]);
        talk.parties[0].rtcp.send(talk.parties[0].media[1], &[0x80, 201, 0, 1, 0, 0, 0x12, 0x34]);
        talk.parties[1].rtcp.receive();
        let report = talk.recording(&mut control).expect("it is recorded");
        assert_eq!((report.state, report.part, report.lost), (RecordingState::Writing, 1, 0));
        talk.does(&mut control, vec![Operation::StopRecording { discard: false }]);
        talk.go_on(205..210, &[6; 160]);
        assert_eq!(talk.recording(&mut control), None);
        let packets = shelf.whole("first", 1);
        assert_eq!(shelf.names(), ["first-1.body", "first-1.key"]);
        assert_eq!(packets.len(), 401, "{back_end}");
        for (at, party) in talk.parties.iter().enumerate() {
            let of = |packet: &&Packet| packet.from == party.rtp.address() && packet.to == party.media[0];
            let said: Vec<_> = packets.iter().filter(of).collect();
            let expected: Vec<_> = (5..205).map(|sequence| rtp(0, sequence, &[5; 160])).collect();
            assert_eq!(
                said.iter().map(|packet| &packet.payload).collect::<Vec<_>>(),
                expected.iter().collect::<Vec<_>>(),
                "party {at}"
            );
        }
        assert_eq!(packets.iter().filter(|packet| packet.payload[1] == 201).count(), 1);
        let since = started.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let in_order = packets.is_sorted_by_key(|packet| packet.ns);
        assert!(in_order && packets[0].ns.abs_diff(since) < 2_000_000_000, "{} and {since}", packets[0].ns);
        let statistics = control.statistics().recording;
        assert_eq!((statistics.open, statistics.packets, statistics.failures), (0, 401, 0));
        assert_eq!((statistics.lost_congested, statistics.lost_disk, statistics.lost_limit), (0, 0, 0));
    }
}

#[test]
fn a_pause_is_not_in_it_and_a_second_recording_has_a_key_of_its_own() {
    if !can_read() {
        return;
    }
    let shelf = Shelf::new("pause");
    let relay = shelf.relay("auto", "");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    talk.begin(&mut control);
    talk.is_recorded(&mut control, "one");
    talk.go_on(0..10, &[5; 160]);
    talk.does(&mut control, vec![record("one", true)]);
    talk.go_on(10..20, &[5; 160]);
    talk.does(&mut control, vec![record("one", false)]);
    talk.go_on(20..30, &[5; 160]);
    // Another stem is another recording.
    talk.is_recorded(&mut control, "two");
    talk.go_on(30..40, &[5; 160]);
    talk.does(&mut control, vec![Operation::RemoveSession]);
    let both = |sequences: std::ops::Range<u16>| sequences.flat_map(|sequence| [sequence; 2]);
    assert_eq!(payloads(&shelf.whole("one", 1)), both(0..10).chain(both(20..30)).collect::<Vec<_>>());
    assert_eq!(payloads(&shelf.whole("two", 1)), both(30..40).collect::<Vec<_>>());
    let key = |stem| fs::read(shelf.file(stem, 1, "key")).expect("a key");
    assert_ne!(key("one"), key("two"));
    // The key of another part opens nothing.
    fs::copy(shelf.file("one", 1, "key"), shelf.file("two", 1, "key")).expect("our directory");
    assert_eq!(shelf.read("two", 1), (Vec::new(), false));
}

#[test]
fn a_relay_that_is_killed_leaves_what_was_flushed_and_the_next_begins_another_part() {
    if !can_read() {
        return;
    }
    let shelf = Shelf::new("killed");
    let mut relay = shelf.relay("auto", "");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    talk.begin(&mut control);
    talk.is_recorded(&mut control, "call");
    talk.go_on(0..400, &[5; 160]);
    while talk.recording(&mut control).expect("it is recorded").octets < 2 * (64 << 10) {
        sleep(Duration::from_millis(10));
    }
    relay.replace();
    let (packets, ended) = shelf.read("call", 1);
    // Two chunks of 65,536 octets, less what belongs to the packet that reaches into the third.
    assert!(!ended && (500..800).contains(&packets.len()), "{}", packets.len());
    assert!(payloads(&packets).is_sorted());
    let (mut control, _) = relay.control(&[]);
    talk.begin(&mut control);
    talk.is_recorded(&mut control, "call");
    talk.go_on(400..410, &[5; 160]);
    // It ends well when it is told to.
    let (_, well) = relay.terminate();
    assert!(well);
    assert_eq!(payloads(&shelf.whole("call", 2)).len(), 20);
}

#[test]
fn a_session_that_expires_ends_its_recording() {
    if !can_read() {
        return;
    }
    let shelf = Shelf::new("expired");
    let relay = shelf.relay("auto", "");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    talk.begin(&mut control);
    talk.is_recorded(&mut control, "call");
    talk.go_on(0..3, &[5; 160]);
    let expires_at_ns = Call::expiry(Duration::from_millis(300));
    let shorter = Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: vec![].into() };
    talk.does(&mut control, vec![shorter]);
    wait(&mut control, |message| *message == FromRelay::Expired(SessionId(1)));
    assert_eq!(shelf.whole("call", 1).len(), 6);
}

#[test]
fn without_a_directory_a_call_goes_on_and_is_recorded_once_there_is_one() {
    if !can_read() {
        return;
    }
    let shelf = Shelf::new("gone");
    fs::remove_dir(&shelf.0).expect("empty");
    let relay = shelf.relay("auto", "");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    talk.begin(&mut control);
    control.apply(1, vec![record("call", false)]);
    talk.becomes(&mut control, RecordingState::Failed(RecordingProblem::Gone));
    talk.go_on(0..10, &[5; 160]);
    fs::create_dir(&shelf.0).expect("a directory");
    talk.becomes(&mut control, RecordingState::Writing);
    talk.go_on(10..12, &[5; 160]);
    // A body that somebody removes is noticed when it would be written.
    fs::remove_file(shelf.file("call", 1, "body")).expect("it is there");
    talk.go_on(12..300, &[5; 160]);
    talk.becomes(&mut control, RecordingState::Failed(RecordingProblem::Gone));
    talk.becomes(&mut control, RecordingState::Writing);
    talk.go_on(300..310, &[5; 160]);
    let report = talk.recording(&mut control).expect("it is recorded");
    assert_eq!(report.part, 2);
    talk.does(&mut control, vec![Operation::StopRecording { discard: false }]);
    assert_eq!(payloads(&shelf.whole("call", 2)).len(), 20);
    let statistics = control.statistics().recording;
    assert_eq!(statistics.packets + statistics.lost_disk, 620, "each is recorded or counted: {statistics:?}");
    assert!(statistics.lost_disk >= 20 && statistics.failures >= 2, "{statistics:?}");
}

#[test]
fn a_recording_has_a_limit_and_the_disk_keeps_some_room() {
    if !can_read() {
        return;
    }
    let shelf = Shelf::new("limit");
    let relay = shelf.relay("auto", "max_mb = 1\n");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    talk.begin(&mut control);
    talk.is_recorded(&mut control, "call");
    talk.go_on(0..500, &[5; 1400]);
    talk.becomes(&mut control, RecordingState::Failed(RecordingProblem::Limit));
    talk.go_on(500..505, &[5; 1400]);
    let packets = shelf.whole("call", 1);
    let size = fs::metadata(shelf.file("call", 1, "body")).expect("a file").len();
    assert!((900_000..1_100_000).contains(&size), "{size}");
    let until = Instant::now() + PATIENCE;
    while control.statistics().recording.lost_limit != 1010 - packets.len() as u64 {
        assert!(Instant::now() < until, "{:?} and {}", control.statistics().recording, packets.len());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(shelf.names(), ["call-1.body", "call-1.key"], "no other part follows");
    drop(relay);

    let relay = shelf.relay("auto", "keep_free_mb = 1000000000\n");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(2, PARTIES);
    talk.begin(&mut control);
    control.apply(2, vec![record("other", false)]);
    talk.becomes(&mut control, RecordingState::Failed(RecordingProblem::Full));
    assert_eq!(shelf.names(), ["call-1.body", "call-1.key"], "nothing is left of what was not begun");
}

#[test]
fn a_recording_that_is_discarded_leaves_nothing() {
    if !can_read() {
        return;
    }
    let shelf = Shelf::new("discard");
    let relay = shelf.relay("auto", "");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    talk.begin(&mut control);
    talk.is_recorded(&mut control, "call");
    talk.go_on(0..300, &[5; 160]);
    assert_eq!(shelf.names().len(), 2);
    talk.does(&mut control, vec![Operation::StopRecording { discard: true }]);
    let until = Instant::now() + PATIENCE;
    while !shelf.names().is_empty() {
        assert!(Instant::now() < until, "{:?}", shelf.names());
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_no_name_of_a_file_is_refused_and_without_a_key_nothing_is_recorded() {
    let relay = Relay::start("[0]");
    let (mut control, _) = relay.control(&[]);
    let talk = Talk::new(1, PARTIES);
    control.apply(1, vec![record("call", false)]);
    let failed = |error| FromRelay::Failed { transaction: 1, session: SessionId(1), operation: 0, error };
    assert_eq!(control.hear(), failed(OperationError::UnknownSession));
    talk.begin(&mut control);
    for stem in ["../call", "", "a/b", "a.b"] {
        control.apply(1, vec![record(stem, false)]);
        assert_eq!(control.hear(), failed(OperationError::Invalid), "{stem:?}");
    }
    control.apply(1, vec![record("call", false)]);
    talk.becomes(&mut control, RecordingState::Failed(RecordingProblem::Unconfigured));
    talk.go_on(0..3, &[5; 160]);
    assert!(!Path::new("call-1.key").exists());
}
