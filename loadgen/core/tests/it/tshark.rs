//! tshark's opinion of a stream, which is that of the receiver.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use raceway_loadgen_core::receive::{Receiver, Settings};
use raceway_loadgen_core::report::StreamReport;
use raceway_loadgen_core::rtp::RtpView;
use raceway_loadgen_core::{Clock, Identity, Profile, Sender};
use raceway_netem::Link;
use raceway_units::Instant;

const BEGIN: Instant = Instant::from_ns(1_700_000_000_000_000_000);
const PORT: u16 = 5004;
/// What the two may differ by.
const WITHIN_MS: f64 = 0.01;

/// A stream over a link, as the receiver found it and as a capture at the receiver has it.
fn ride(profile: &str, link: &str, seconds: u64) -> (StreamReport, Vec<u8>) {
    let track = profile.parse::<Profile>().unwrap().tracks().remove(0);
    let identity = Identity { run: 9, stream: 3, ssrc: 77, clock: Clock(4) };
    let mut sender = Sender::new(&track, identity, BEGIN, 21);
    let mut link = Link::new(link.parse().unwrap(), 22);
    let mut receiver = Receiver::new(Settings::of_track(&track, Clock(4)));
    let mut capture = header();
    let (mut out, end) = (vec![0; track.packet_max()], BEGIN.after(Duration::from_secs(seconds)));
    loop {
        let due = sender.next_due().filter(|due| *due < end);
        let Some(now) = due.into_iter().chain(link.poll_timeout()).min() else { break };
        while let Some(delivery) = link.poll(now) {
            let octets: &Vec<u8> = &delivery.payload;
            receiver.handle(&RtpView::parse(octets).unwrap(), delivery.at);
            record(&mut capture, octets, delivery.at);
        }
        if due == Some(now) {
            let length = sender.write(&mut out);
            link.handle(out[..length].to_vec(), length, now);
        }
    }
    (StreamReport::of(profile.to_owned(), &receiver, None, None), capture)
}

/// Header of a pcap file with nanoseconds and IP packets.
fn header() -> Vec<u8> {
    let words: [u32; 6] = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 101];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A datagram from 192.0.2.1 to 192.0.2.2. tshark does not check the IP header's sum.
fn record(capture: &mut Vec<u8>, rtp: &[u8], at: Instant) {
    let (udp, ip) = (8 + rtp.len(), 28 + rtp.len());
    let (seconds, ns) = (at.as_ns() / 1_000_000_000, at.as_ns() % 1_000_000_000);
    for word in [seconds as u32, ns as u32, ip as u32, ip as u32] {
        capture.extend(word.to_le_bytes());
    }
    capture.extend([0x45, 0]);
    capture.extend((ip as u16).to_be_bytes());
    capture.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    for half in [PORT, PORT, udp as u16, 0] {
        capture.extend(half.to_be_bytes());
    }
    capture.extend(rtp);
}

/// Packets, lost, mean and largest jitter, as `tshark -z rtp,streams` has them; nothing without tshark.
fn tshark(name: &str, capture: &[u8]) -> Option<(u64, u64, f64, f64)> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"));
    std::fs::write(&file, capture).unwrap();
    let mut command = Command::new("tshark");
    command.args(["-n", "-q", "-z", "rtp,streams", "-d"]).arg(format!("udp.port=={PORT},rtp")).arg("-r").arg(&file);
    let Ok(output) = command.output() else {
        println!("skipped: tshark is not installed");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("192.0.2.1")).unwrap_or_else(|| panic!("no stream in {text}"));
    // A payload type with a space in its name would shift fields: count from the SSRC, which tshark writes as 0x.
    let fields: Vec<&str> = line.split_whitespace().skip_while(|field| !field.starts_with("0x")).collect();
    let number = |at: usize| fields[at].parse::<f64>().unwrap_or_else(|_| panic!("{} in {line}", fields[at]));
    // SSRC, payload, packets, lost, (share), delta least, mean, most, jitter least, mean, most.
    let jitter = fields.iter().position(|field| field.starts_with('(')).expect("the share lost") + 4;
    Some((number(jitter - 6) as u64, number(jitter - 5) as u64, number(jitter + 1), number(jitter + 2)))
}

fn agree(name: &str, profile: &str, link: &str) {
    let (ours, capture) = ride(profile, link, 120);
    let Some((packets, lost, mean_ms, max_ms)) = tshark(name, &capture) else { return };
    assert_eq!((ours.received.packets + ours.received.duplicated, ours.lost), (packets, lost), "{name}");
    let (mean_off, max_off) = ((ours.jitter_mean_ms - mean_ms).abs(), (ours.jitter_max_ms - max_ms).abs());
    assert!(mean_off < WITHIN_MS && max_off < WITHIN_MS, "{name}: {ours:?}, tshark {mean_ms} {max_ms}");
    assert!(mean_ms > 1.0, "{name}: there was something to agree on: {mean_ms}");
}

#[test]
fn jitter_is_tsharks() {
    agree("jitter", "pcmu", "delay=40ms,jitter=15ms");
    agree("jitter-g722", "g722", "delay=40ms,jitter=8ms,distribution=normal");
}

#[test]
fn loss_is_tsharks_and_does_not_disturb_the_jitter() {
    agree("loss", "pcma", "delay=40ms,jitter=15ms,loss=5%,burst=3");
}
