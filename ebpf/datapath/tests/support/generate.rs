//! Packets at random: most of them nearly right, so that most of the ways through the code are taken.

use super::packet::{Checksum, Packet, channel_data, rtp};
use super::world::{
    EXPIRED_PEER, INDICATION_PEER, LISTEN_PORT, MUTED_PEER, channel, client, formerly_permitted, listener, media,
    other_client, party, peer, permitted, relayed, special_peer, stranger,
};
use std::net::SocketAddr;

/// A seeded generator (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A packet that may have anything wrong with it.
pub fn packet(random: &mut Random) -> Packet {
    let v6 = random.one_in(2);
    let mut packet = match random.below(5) {
        0 | 1 => from_client(random, v6),
        2 | 3 => from_peer(random, v6),
        _ => from_party(random, v6),
    };
    if random.one_in(4) {
        packet.vlan = Some(random.next() as u16);
    }
    packet.traffic_class = random.next() as u8;
    packet.dont_fragment = random.one_in(2);
    if random.one_in(8) {
        packet.hop_limit = random.of(&[0, 1, 2, 255]);
    }
    packet.checksum = match random.below(10) {
        0 => Checksum::Zero,
        1 => Checksum::Wrong,
        2 => Checksum::Unfinished,
        _ => Checksum::Right,
    };
    if random.one_in(5) {
        packet.trailer = random.below(30) as usize;
    }
    if random.one_in(6) {
        spoil(random, &mut packet);
    }
    packet
}

/// The frame of a packet, cut short at times.
pub fn frame(random: &mut Random) -> Vec<u8> {
    let mut frame = packet(random).frame();
    if random.one_in(12) {
        // What the kernel takes as a frame at all has an Ethernet header.
        frame.truncate(14 + random.below(60) as usize);
    }
    if random.one_in(20) {
        let at = random.below(frame.len().min(60) as u64) as usize;
        frame[at] ^= 1 << random.below(8);
    }
    frame
}

fn spoil(random: &mut Random, packet: &mut Packet) {
    match random.below(8) {
        0 => packet.options = if packet.source.is_ipv4() { 4 * (1 + random.below(10) as usize) } else { 8 },
        1 => packet.fragment_word = Some(random.of(&[0x1234_2000, 0x1234_0001, 0x1234_6000, 0x1234_8000, 0x1234_1fff])),
        2 => packet.protocol = random.of(&[1, 6, 58, 132]),
        3 => packet.udp_length_off = random.of(&[-9, -1, 1, 100]),
        4 => packet.ip_length_off = random.of(&[-30, -1, 1, 100]),
        5 => packet.header_checksum_wrong = true,
        6 => packet.group_mac = true,
        _ => packet.destination.set_port(random.of(&[0, 53, 29_999, 30_100, 49_999, 51_000, 65_535])),
    }
}

fn from_client(random: &mut Random, v6: bool) -> Packet {
    let data = application_data(random);
    let number = random.of(&channel::ALL);
    let payload = match random.below(12) {
        0 => stun(random),
        1 => random_octets(random),
        2 => [channel_data(number, &data), vec![0; 1 + random.below(3) as usize]].concat(),
        3 => {
            let mut short = channel_data(number, &data);
            short.truncate(random.below(short.len() as u64 + 1) as usize);
            short
        }
        _ => channel_data(number, &data),
    };
    let source = if random.one_in(10) { other_client(v6) } else { client(v6) };
    let mut destination = listener(v6);
    if random.one_in(20) {
        destination.set_port(random.of(&[3479, LISTEN_PORT + 2]));
    }
    Packet::new(source, destination, payload)
}

fn from_peer(random: &mut Random, v6: bool) -> Packet {
    let sources: [SocketAddr; 12] = [
        peer(v6),
        peer(v6),
        peer(v6),
        peer(v6),
        peer(v6),
        special_peer(v6, EXPIRED_PEER),
        special_peer(v6, MUTED_PEER),
        special_peer(v6, INDICATION_PEER),
        permitted(v6),
        formerly_permitted(v6),
        stranger(v6),
        relayed(v6, 0),
    ];
    let payload = application_data(random);
    let number = random.of(&[0, 0, 0, 1, 1, 1, 20, 21, 30, 40, 55]);
    Packet::new(random.of(&sources), relayed(v6, number), payload)
}

fn from_party(random: &mut Random, v6: bool) -> Packet {
    let number = random.of(&[0, 0, 1, 1, 2, 2, 4, 6, 7, 8, 8, 9, 9, 10, 11, 50]);
    let at = random.of(&[number, number, number, 0]);
    let source = if random.one_in(8) { media(v6, 3) } else { party(v6, number) };
    Packet::new(source, media(v6, at), said(random))
}

/// What a party says: mostly RTP of several kinds, some with more than the fixed header.
pub fn said(random: &mut Random) -> Vec<u8> {
    let mut data = application_data(random);
    if data.len() >= 12 && data[0] == 0x80 && data[1] == 0 {
        data[1] = random.of(&[0, 0, 8, 13, 18, 96, 101, 101, 0x80, 0x88, 0xe5]);
    }
    match random.below(12) {
        // One contributing source; an extension of one word; four octets of padding: as far as they are there.
        0 if data.len() >= 16 => data[0] |= 1,
        1 if data.len() >= 20 => {
            data[0] |= 0x10;
            data[12..16].copy_from_slice(&[0xbe, 0xde, 0, 1]);
        }
        2 if data.len() >= 16 => {
            data[0] |= 0x20;
            *data.last_mut().expect("not empty") = 4;
        }
        _ => {}
    }
    data
}

fn application_data(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => stun(random),
        1 => random_octets(random),
        2 => {
            let mut rtcp = rtp(random.next() as u16, 40);
            rtcp[1] = 200 + random.below(8) as u8;
            rtcp
        }
        3 => {
            let length = random.below(20) as usize;
            random.octets(length)
        }
        _ => rtp(random.below(300) as u16, random.below(200) as usize),
    }
}

fn stun(random: &mut Random) -> Vec<u8> {
    let mut message = random.of(&[0x0001_u16, 0x0003, 0x0016, 0x0101, 0x0004]).to_be_bytes().to_vec();
    let length = random.of(&[16, 20, 40, 100, 128, 131, 132, 200]);
    message.extend(random.octets(length));
    message
}

/// Of a length often around the sizes where something changes.
fn random_octets(random: &mut Random) -> Vec<u8> {
    let around = random.of(&[0, 4, 12, 100, 512, 1024, 1232, 1260, 1440, 1460, 1472]);
    let length = around + random.below(16) as usize;
    random.octets(length)
}
