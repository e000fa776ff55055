//! The two files are one of the age format, and neither is anything without the other or the private half.

use std::io::Write;
use std::process::{Command, Stdio};

use raceway_recording::{CHUNK, Part, Secrets, UnusableKey};

use super::reader::{IDENTITY, decrypt, public_key, unwrap};
use super::{beginning, packet, part, secrets};

#[test]
fn a_data_key_is_unwrapped_by_the_private_half_and_by_no_other() {
    let ended = part(&public_key(), 1, 0);
    let (file_key, nonce) = unwrap(&ended.key, &IDENTITY).expect("ours");
    assert_eq!((&file_key[..], &nonce[..]), (&secrets(1).file_key[..], &secrets(1).nonce[..]));
    assert_eq!(unwrap(&ended.key, &[8; 32]), None);
}

#[test]
fn neither_file_has_the_data_key_or_what_was_said_in_clear() {
    let ended = part(&public_key(), 1000, 0);
    let contains = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|window| window == needle);
    for needle in [&secrets(1).file_key[..], &secrets(1).ephemeral[..], b"a note", &[7; 172], b"Raceway"] {
        assert!(!contains(&ended.key, needle) && !contains(&ended.body, needle), "{needle:?}");
    }
    assert_eq!(format!("{:?}", secrets(1)), "Secrets(***)");
}

#[test]
fn a_part_that_breaks_off_is_readable_up_to_there() {
    let (mut part, key) = Part::begin(&public_key(), &secrets(1), &beginning("")).expect("a key");
    let mut body = Vec::new();
    (0..1000).for_each(|n| part.packet(&packet(n, &[3; 172]), &mut body));
    assert_eq!(body.len() % (CHUNK + 16), 0, "only whole chunks before the end");
    let (capture, ended) = decrypt(&key, &body);
    assert!(!ended && capture.len() == body.len() / (CHUNK + 16) * CHUNK && capture.len() == 3 * CHUNK);
    // What is left of a chunk that was being written changes nothing.
    body.extend([0; 999]);
    assert_eq!(decrypt(&key, &body), (capture, false));
}

#[test]
fn what_was_flushed_is_readable_though_nothing_follows() {
    // However little of the chunk is left.
    for last in (0..2048).step_by(4) {
        let (mut part, key) = Part::begin(&public_key(), &secrets(1), &beginning("")).expect("a key");
        let mut body = Vec::new();
        while part.unsealed() + 2200 < CHUNK {
            part.packet(&packet(0, &[1; 2000]), &mut body);
        }
        part.packet(&packet(0, &vec![1; last]), &mut body);
        // Nothing is left to do where the packet filled the chunk by itself.
        let whole = body.len() + if part.unsealed() == 0 { 0 } else { CHUNK + 16 };
        part.flush(&mut body);
        assert!(body.len() == whole && part.unsealed() < 16, "{last}: {}", part.unsealed());
        let (capture, _) = decrypt(&key, &body);
        assert_eq!(capture.len(), body.len() / (CHUNK + 16) * CHUNK);
        part.finish(raceway_units::Instant::from_ns(6_000_000_000), 0, &mut body);
        assert!(decrypt(&key, &body).1, "{last}");
    }
}

#[test]
fn a_key_that_everybody_could_read_is_refused() {
    let all_zero = [0; 32];
    let mut order_eight = [0; 32];
    order_eight.copy_from_slice(&[
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ]);
    for key in [all_zero, order_eight] {
        assert_eq!(Part::begin(&key, &secrets(1), &beginning("")).err(), Some(UnusableKey));
    }
}

#[test]
fn two_parts_have_nothing_in_common() {
    let key = public_key();
    let make = |secrets: &Secrets| Part::begin(&key, secrets, &beginning("")).expect("a key").1;
    let (one, other) = (make(&secrets(1)), make(&secrets(2)));
    assert!(one != other && unwrap(&one, &IDENTITY) != unwrap(&other, &IDENTITY));
}

/// Debian's `age`, if it is installed.
fn age(identity: &str, file: &[u8]) -> Option<(Vec<u8>, bool)> {
    let directory = std::env::temp_dir().join(format!("raceway-age-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("identity");
    std::fs::write(&path, identity).expect("our directory");
    let mut command = Command::new("age");
    command.arg("-d").arg("-i").arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let file = file.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&file)));
    let output = child.wait_with_output().expect("it runs");
    writer.join().expect("written");
    std::fs::remove_dir_all(&directory).expect("our directory");
    Some((output.stdout, output.status.success()))
}

fn identity() -> String {
    let hrp = bech32::Hrp::parse("age-secret-key-").expect("a prefix");
    bech32::encode_upper::<bech32::Bech32>(hrp, &IDENTITY).expect("short enough")
}

#[test]
fn age_decrypts_key_and_body_and_the_beginning_of_what_broke_off() {
    let ended = part(&public_key(), 2000, 5);
    let file = [&ended.key[..], &ended.body].concat();
    let Some((capture, whole)) = age(&identity(), &file) else {
        println!("skipped: no age");
        return;
    };
    assert!(whole && capture == decrypt(&ended.key, &ended.body).0);
    let cut = [&ended.key[..], &ended.body[..3 * (CHUNK + 16)]].concat();
    let (beginning, whole) = age(&identity(), &cut).expect("it was there");
    assert!(!whole && beginning.len() >= 2 * CHUNK && capture.starts_with(&beginning), "{}", beginning.len());
    assert!(!age(&identity(), &ended.body).expect("it was there").1, "no key, no capture");
}
