mod files;
mod finding;
mod sending;

use std::net::{IpAddr, SocketAddr};

use raceway_units::Instant;

use super::*;
use crate::profile::Profile;
use crate::sender::{Identity, Sender};
use crate::stamp::{Clock, check};

const ETHERNET: u16 = 1;
const RAW: u16 = 101;

/// Packets of a profile, and when each was due.
fn packets(profile: &str, count: usize) -> Vec<(u64, Vec<u8>)> {
    let track = profile.parse::<Profile>().unwrap().tracks().remove(0);
    let identity = Identity { run: 1, stream: 2, ssrc: 0xaabb_ccdd, clock: Clock(9) };
    let mut sender = Sender::new(&track, identity, Instant::from_ns(1_600_000_000_000_000_000), 5);
    let packet = |_| {
        let mut out = [0; 1_500];
        let due = sender.next_due().unwrap().as_ns();
        let length = sender.write(&mut out);
        (due, out[..length].to_vec())
    };
    (0..count).map(packet).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A UDP datagram in IP.
fn ip(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    let length = (payload.len() + 8) as u16;
    let mut packet = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
            header[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            [header, from.octets().to_vec(), to.octets().to_vec()].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
            header[4..6].copy_from_slice(&length.to_be_bytes());
            [header, from.octets().to_vec(), to.octets().to_vec()].concat()
        }
        _ => panic!("one family"),
    };
    for field in [source.port(), destination.port(), length, 0] {
        packet.extend_from_slice(&field.to_be_bytes());
    }
    packet.extend_from_slice(payload);
    packet
}

/// A datagram from one place to another.
fn there(payload: &[u8]) -> Vec<u8> {
    ip("10.0.0.1:5000", "10.0.0.2:5002", payload)
}

/// A pcap file of nanoseconds.
fn pcap(link: u16, frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = [0xa1b2_3c4du32, 0x0004_0002, 0, 0, 65_535, u32::from(link)].map(u32::to_le_bytes).concat();
    for (at_ns, octets) in frames {
        let (seconds, ns) = ((at_ns / 1_000_000_000) as u32, (at_ns % 1_000_000_000) as u32);
        let length = octets.len() as u32;
        file.extend([seconds, ns, length, length].map(u32::to_le_bytes).concat());
        file.extend_from_slice(octets);
    }
    file
}

/// A capture of these packets, in the order of the list.
fn capture(packets: &[(u64, Vec<u8>)]) -> Capture {
    let frames: Vec<_> = packets.iter().map(|(at, octets)| (*at, there(octets))).collect();
    Capture::read(&pcap(RAW, &frames)).unwrap()
}
