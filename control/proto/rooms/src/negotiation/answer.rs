//! Answers to who publishes and to who plays.

use super::codec::{Codec, Format};
use super::extension::Extension;
use super::offered::{MediaOffer, Offered, Section};
use super::text::{Ours, Outgoing, Text};
use crate::refusal::Refusal;

/// A media section by which a track comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its identification.
    pub mid: String,
    /// Audio, not video.
    pub is_audio: bool,
    /// The codec of the track.
    pub format: Format,
    /// By the publisher's ids.
    pub extensions: Vec<(u8, Extension)>,
    /// Names of its encodings; none: there is one without a name.
    pub encodings: Vec<String>,
    /// What the publisher announced; may be none.
    pub ssrcs: Vec<u32>,
}

/// A media section by which a track goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its identification.
    pub mid: String,
    /// Which of those that there were; none fits yet, and one of the same codec may come.
    pub track: Option<usize>,
    /// With the player's payload types.
    pub format: Format,
    /// By the player's ids.
    pub extensions: Vec<(u8, Extension)>,
    /// What was announced.
    pub stream: Outgoing,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// As it is sent.
    pub sdp: String,
    /// Media sections that carry something.
    pub accepted: Vec<T>,
}

impl Offered {
    const fn setup(&self) -> &'static str {
        if self.we_open { "active" } else { "passive" }
    }

    fn begin(&self, ours: &Ours) -> Text {
        let taken = self.sections.iter().filter_map(|section| match section {
            Section::Media(media) if !media.mid.is_empty() => Some(media.mid.as_str()),
            _ => None,
        });
        Text::begin(ours, &taken.collect::<Vec<_>>())
    }

    /// The answer to a publisher: of each section that sends, the first codec of `preferred` that it has, else its own first.
    ///
    /// # Errors
    /// When no section sends.
    pub fn answer_publisher(&self, ours: &Ours, preferred: &[Codec]) -> Result<Answer<Received>, Refusal> {
        let mut text = self.begin(ours);
        let mut accepted = Vec::new();
        for section in &self.sections {
            let media = match section {
                Section::Media(media) => media,
                Section::Refused { line, mid } => {
                    text.refused(line, mid.as_deref());
                    continue;
                }
            };
            let format = choose(media, preferred);
            text.media(ours, media.is_audio, &media.mid, &[format], self.setup());
            text.formats(&[format]);
            text.extensions(&media.extensions);
            if media.direction.sends() {
                text.word("recvonly");
                text.encodings(&media.encodings);
                accepted.push(received(media, format));
            } else {
                text.word("inactive");
            }
        }
        if accepted.is_empty() {
            return Err(Refusal::Description(
                "nothing in the offer is sent: a publisher's media is a=sendonly".to_owned(),
            ));
        }
        Ok(Answer { sdp: text.end(), accepted })
    }

    /// The answer to a player: each section that receives gets the next track of its kind that it can decode. One for which there
    /// is none waits for it, with the codec that a publisher would be asked for: a player does not ask twice.
    ///
    /// # Errors
    /// When no section receives.
    pub fn answer_player(
        &self,
        ours: &Ours,
        preferred: &[Codec],
        tracks: &[Format],
        mut stream: impl FnMut(Option<usize>) -> Outgoing,
    ) -> Result<Answer<Sent>, Refusal> {
        let mut text = self.begin(ours);
        let mut accepted: Vec<Sent> = Vec::new();
        for section in &self.sections {
            let media = match section {
                Section::Media(media) => media,
                Section::Refused { line, mid } => {
                    text.refused(line, mid.as_deref());
                    continue;
                }
            };
            let is_free = |track: &usize| accepted.iter().all(|sent| sent.track != Some(*track));
            let fits = |track: usize| media.formats.iter().find(|format| format.takes(&tracks[track]));
            let found = (0..tracks.len()).filter(is_free).find_map(|track| Some((track, fits(track)?)));
            let format = found.map_or_else(|| choose(media, preferred), |(_, format)| format);
            let extensions: Vec<_> = media.extensions.iter().copied().filter(|(_, e)| !e.is_of_encodings()).collect();
            text.media(ours, media.is_audio, &media.mid, &[format], self.setup());
            text.formats(&[format]);
            text.extensions(&extensions);
            if !media.direction.receives() {
                text.word("inactive");
                continue;
            }
            let track = found.map(|(track, _)| track);
            let stream = stream(track).for_format(format);
            text.word("sendonly");
            text.outgoing(&stream);
            accepted.push(Sent { mid: media.mid.clone(), track, format: format.clone(), extensions, stream });
        }
        if accepted.is_empty() {
            return Err(Refusal::Description(
                "nothing in the offer is received: a player's media is a=recvonly".to_owned(),
            ));
        }
        Ok(Answer { sdp: text.end(), accepted })
    }
}

fn choose<'a>(media: &'a MediaOffer, preferred: &[Codec]) -> &'a Format {
    // H.264 in single NAL unit mode cannot carry a key frame of any size (RFC 6184 section 6.2).
    let is_usable =
        |format: &&Format| format.codec != Codec::H264 || format.parameter("packetization-mode") == Some("1");
    let usable = || media.formats.iter().filter(is_usable);
    let wanted = preferred.iter().find_map(|codec| usable().find(|format| format.codec == *codec));
    wanted.or_else(|| usable().next()).unwrap_or(&media.formats[0])
}

fn received(media: &MediaOffer, format: &Format) -> Received {
    Received {
        mid: media.mid.clone(),
        is_audio: media.is_audio,
        format: format.clone(),
        extensions: media.extensions.clone(),
        encodings: media.encodings.clone(),
        ssrcs: media.ssrcs.clone(),
    }
}
