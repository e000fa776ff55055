//! Prints what is said to an offer on standard input: `answer publish`, `answer play`, or with `answer offer` what would be
//! offered to who receives those tracks.

use std::io::{Read, Write};

use raceway_rooms::TrackId;
use raceway_rooms::negotiation::{Format, Offered, Ours, Outgoing, Places, Section};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let what = std::env::args().nth(1).unwrap_or_default();
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let offered = Offered::read(&body)?;
    let ours = Ours {
        session: 1,
        version: 1,
        fragment: "fragment".to_owned(),
        password: "passwordpasswordpassword".to_owned(),
        fingerprint: format!("sha-256 {}", ["AB"; 32].join(":")).parse()?,
        addresses: vec![([127, 0, 0, 1], 7000).into()],
    };
    let stream = |ssrc: u32| {
        let (cname, msid) = ("somebody".to_owned(), format!("stream track{ssrc}"));
        Outgoing { ssrc, rtx_ssrc: Some(ssrc + 1), cname, msid }
    };
    let first = |section: &Section| match section {
        Section::Media(media) => media.formats.first().cloned(),
        Section::Refused { .. } => None,
    };
    let formats: Vec<Format> = offered.sections.iter().filter_map(first).collect();
    let sdp = match what.as_str() {
        "publish" => offered.answer_publisher(&ours, &[])?.sdp,
        "play" => {
            offered.answer_player(&ours, &[], &formats, |track| stream(10 * (track.unwrap_or(0) as u32 + 1)))?.sdp
        }
        "offer" => {
            let mut places = Places::default();
            for (format, track) in formats.iter().zip(1..) {
                places.add(TrackId(track), format, stream(10 * track))?;
            }
            places.offer(&ours)
        }
        _ => return Err("say publish, play or offer".into()),
    };
    Ok(std::io::stdout().write_all(sdp.as_bytes())?)
}
