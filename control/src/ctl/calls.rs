//! Calls for people.

use raceway_control::admin::call::{Call, Media, Quality, Recording};

use crate::show::{duration, printable, rest};
use crate::table::{Side, table};

/// A line for each.
pub fn list(calls: &[Call], total: usize) -> String {
    let rows: Vec<Vec<String>> = calls.iter().map(row).collect();
    let headings = [
        ("CALL", Side::Left),
        ("STATE", Side::Left),
        ("AGE", Side::Right),
        ("PARTIES", Side::Right),
        ("CODEC", Side::Left),
        ("PATH", Side::Left),
        ("RTP", Side::Right),
        ("LOST", Side::Right),
        ("WORST MOS", Side::Right),
        ("SESSION", Side::Right),
    ];
    rest(table(&headings, &rows), calls.len(), total, "calls")
}

fn media(call: &Call) -> impl Iterator<Item = &Media> {
    call.parties.iter().flat_map(|party| &party.media)
}

fn row(call: &Call) -> Vec<String> {
    let codec = media(call).find_map(|media| media.codec.as_deref());
    let paths: std::collections::BTreeSet<&str> = media(call).map(|media| media.path.as_str()).collect();
    let lost: u64 = media(call).filter_map(|media| media.quality).map(|quality| quality.lost).sum();
    let mos = media(call).filter_map(|media| media.quality?.mos_mean).reduce(f64::min);
    vec![
        printable(&call.call_id),
        call.state.clone(),
        duration(call.age_s),
        call.parties.len().to_string(),
        codec.map_or_else(|| "-".to_owned(), printable),
        paths.into_iter().collect::<Vec<_>>().join("+"),
        media(call).map(|media| media.received.rtp_packets).sum::<u64>().to_string(),
        lost.to_string(),
        mos.map_or_else(|| "-".to_owned(), |mos| format!("{mos:.2}")),
        call.session.to_string(),
    ]
}

/// All of one.
pub fn show(call: &Call) -> String {
    let mut text = format!(
        "call {}: {}, {} old, session {}\n",
        printable(&call.call_id),
        call.state,
        duration(call.age_s),
        call.session
    );
    if let Some(recording) = &call.recording {
        text.push_str(&show_recording(recording));
    }
    for party in &call.parties {
        let tag = if party.tag.is_empty() { "(not answered)".to_owned() } else { printable(&party.tag) };
        let label = party.label.as_ref().map(|label| format!(", label {}", printable(label))).unwrap_or_default();
        let peer = party.peer.as_ref().map(|peer| format!(", talks with {}", printable(peer))).unwrap_or_default();
        let hears: Vec<String> = party.hears.iter().map(|tag| printable(tag)).collect();
        let hears = if hears.is_empty() { String::new() } else { format!(", gets copies of {}", hears.join(", ")) };
        text.push_str(&format!("\nparty {tag}{label}{peer}{hears}\n"));
        party.media.iter().for_each(|media| show_media(media, &mut text));
    }
    text
}

fn show_recording(recording: &Recording) -> String {
    let Recording { stem, state, part, packets, octets, lost } = recording;
    format!("recording {stem}, part {part}: {state}; {packets} packets, {octets} octets written, {lost} packets lost\n")
}

fn show_media(media: &Media, text: &mut String) {
    let Media { index, kind, protocol, direction, interface, local, path, .. } = media;
    let codec = media.codec.as_deref().map(printable).unwrap_or_default();
    let secured = media.suite.as_ref().map(|suite| format!(", {suite}")).unwrap_or_default();
    let remote = media.remote.as_deref().unwrap_or("nowhere yet");
    let settled = if media.settled { "" } else { " (may change)" };
    let rules = if media.rules.is_empty() { String::new() } else { format!(", {}", media.rules.join(", ")) };
    text.push_str(&format!("  {index} {kind} {protocol} {codec} {direction}{secured}, by {path}{rules}\n"));
    text.push_str(&format!("    here      {local} on {interface}\n    there     {remote}{settled}\n"));
    for (name, counts) in [("received", &media.received), ("sent", &media.sent)] {
        let (rtp, rtcp) = (counts.rtp_packets, counts.rtcp_packets);
        text.push_str(&format!("    {name:<9} {rtp} RTP packets, {} octets; {rtcp} RTCP\n", counts.rtp_octets));
    }
    if let Some(quality) = &media.quality {
        text.push_str(&show_quality(quality));
    }
}

fn show_quality(quality: &Quality) -> String {
    let ms = |us: Option<u32>| us.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", f64::from(us) / 1e3));
    let mos = |mos: Option<f64>| mos.map_or_else(|| "-".to_owned(), |mos| format!("{mos:.2}"));
    format!(
        "    quality   MOS {} (worst {}), lost {}, reordered {}, twice {}, jitter {} (largest {}), round trip {}\n",
        mos(quality.mos_mean),
        mos(quality.mos_min),
        quality.lost,
        quality.reordered,
        quality.duplicated,
        ms(quality.jitter_mean_us),
        ms(quality.jitter_max_us),
        ms(quality.round_trip_us)
    )
}

#[cfg(test)]
mod tests {
    use raceway_control::admin::call::{Counts, Party};

    use super::*;

    fn call() -> Call {
        let media = Media {
            index: 1,
            kind: "audio".to_owned(),
            protocol: "RTP/SAVP".to_owned(),
            codec: Some("PCMU/8000".to_owned()),
            direction: "sendrecv".to_owned(),
            interface: "ext".to_owned(),
            local: "203.0.113.7:30000".to_owned(),
            remote: Some("192.0.2.1:4000".to_owned()),
            own_rtcp: true,
            settled: true,
            suite: Some("AEAD_AES_128_GCM".to_owned()),
            path: "worker".to_owned(),
            rules: vec!["silenced".to_owned()],
            received: Counts { rtp_packets: 50, rtp_octets: 8600, rtcp_packets: 1, rtcp_octets: 52 },
            sent: Counts::default(),
            quality: Some(Quality {
                lost: 2,
                mos_mean: Some(4.1234),
                jitter_mean_us: Some(1234),
                ..Quality::default()
            }),
        };
        Call {
            call_id: "a\u{1b}[2J@example.org".to_owned(),
            session: 9,
            created: 1,
            age_s: 65,
            state: "answered".to_owned(),
            recording: Some(Recording {
                stem: "20261127T204512Z-3f9a1c0d2b7e4a55".to_owned(),
                state: "writing".to_owned(),
                part: 1,
                packets: 100,
                octets: 65552,
                lost: 0,
            }),
            recordings: vec!["20261127T204512Z-3f9a1c0d2b7e4a55".to_owned()],
            parties: vec![Party {
                tag: "t".to_owned(),
                label: None,
                peer: Some("u".to_owned()),
                hears: vec!["v".to_owned()],
                media: vec![media],
            }],
        }
    }

    #[test]
    fn a_call_is_a_line_and_its_name_reaches_no_terminal() {
        let text = list(&[call()], 3);
        assert!(text.contains(
            "a\\u{1b}[2J@example.org  answered  1 min 5 s        1  PCMU/8000  worker   50     2       4.12"
        ));
        assert!(text.ends_with("2 more calls; --limit shows more\n"), "{text}");
    }

    #[test]
    fn all_of_a_call_is_shown() {
        assert_eq!(
            show(&call()),
            "call a\\u{1b}[2J@example.org: answered, 1 min 5 s old, session 9\n\
             recording 20261127T204512Z-3f9a1c0d2b7e4a55, part 1: writing; 100 packets, 65552 octets written, 0 packets \
             lost\n\
             \n\
             party t, talks with u, gets copies of v\n  \
               1 audio RTP/SAVP PCMU/8000 sendrecv, AEAD_AES_128_GCM, by worker, silenced\n    \
                 here      203.0.113.7:30000 on ext\n    \
                 there     192.0.2.1:4000\n    \
                 received  50 RTP packets, 8600 octets; 1 RTCP\n    \
                 sent      0 RTP packets, 0 octets; 0 RTCP\n    \
                 quality   MOS 4.12 (worst -), lost 2, reordered 0, twice 0, jitter 1.2 ms (largest -), round trip -\n"
        );
    }

    #[test]
    fn a_redacted_call_names_nobody() {
        let text = serde_json::to_string(&call().redacted()).expect("JSON");
        for name in ["example.org", "192.0.2.1", "203.0.113.7", "\"t\"", "\"u\"", "\"v\""] {
            assert!(!text.contains(name), "{name}: {text}");
        }
        assert!(text.contains("***") && text.contains("PCMU"));
    }
}
