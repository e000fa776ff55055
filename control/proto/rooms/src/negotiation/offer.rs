//! Offers to who receives in a meeting: one media section for each track, used again when its track has gone.

use super::codec::{Codec, Format};
use super::extension::Extension;
use super::offered::{Offered, Section};
use super::text::{Ours, Outgoing, Text};
use crate::limits;
use crate::refusal::Refusal;
use crate::room::TrackId;

/// A media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What goes by it; nothing any more.
    pub track: Option<TrackId>,
    /// With our payload types.
    pub format: Format,
    stream: Outgoing,
}

impl Place {
    /// What was announced of its track.
    #[must_use]
    pub const fn stream(&self) -> &Outgoing {
        &self.stream
    }
}

/// The media sections of a connection. A media section is never taken away (RFC 3264 section 8), so they are as many as there
/// were tracks at a time.
#[derive(Clone, Debug, Default)]
pub struct Places {
    places: Vec<Place>,
}

impl Places {
    /// Gives a track a media section; one that has been given up, of the same codec, if there is one.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, track: TrackId, of: &Format, stream: Outgoing) -> Result<usize, Refusal> {
        let format = offered_format(of);
        let stream = stream.for_format(&format);
        let is_free = |place: &Place| place.track.is_none() && place.format.takes(&format);
        if let Some(at) = self.places.iter().position(is_free) {
            self.places[at] = Place { track: Some(track), format, stream };
            return Ok(at);
        }
        if self.places.len() == limits::PLACES_MAX {
            return Err(Refusal::Full { what: "tracks that are received at a time", most: limits::PLACES_MAX });
        }
        self.places.push(Place { track: Some(track), format, stream });
        Ok(self.places.len() - 1)
    }

    /// Takes a track out of its media section. False if it has none.
    pub fn remove(&mut self, track: TrackId) -> bool {
        let found = self.places.iter_mut().find(|place| place.track == Some(track));
        found.map(|place| place.track = None).is_some()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Place> {
        self.places.get(at)
    }

    /// Where each track is: `a=mid` is the number.
    pub fn tracks(&self) -> impl Iterator<Item = (usize, TrackId)> {
        self.places.iter().enumerate().filter_map(|(at, place)| Some((at, place.track?)))
    }

    /// The offer of all of it.
    #[must_use]
    pub fn offer(&self, ours: &Ours) -> String {
        let mids: Vec<_> = (0..self.places.len()).map(|at| at.to_string()).collect();
        let mut text = Text::begin(ours, &mids.iter().map(String::as_str).collect::<Vec<_>>());
        for (mid, place) in mids.iter().zip(&self.places) {
            let is_audio = place.format.codec.is_audio();
            text.media(ours, is_audio, mid, &[&place.format], "actpass");
            text.formats(&[&place.format]);
            text.extensions(Extension::offered(is_audio));
            if place.track.is_some() {
                text.word("sendonly");
                text.outgoing(&place.stream);
            } else {
                text.word("inactive");
            }
        }
        text.end()
    }

    /// Reads the answer: the tracks that are taken, with the client's payload types, which are ours if it keeps to RFC 3264
    /// section 6.1.
    ///
    /// # Errors
    /// When it is none to what was offered.
    pub fn answer(&self, body: &[u8]) -> Result<(Offered, Vec<(TrackId, Format)>), Refusal> {
        let answer = Offered::read(body)?;
        let say = |why: String| Refusal::Description(why);
        if answer.sections.len() != self.places.len() {
            let (has, offered) = (answer.sections.len(), self.places.len());
            return Err(say(format!(
                "the answer has {has} media sections, {offered} were offered (RFC 3264 section 6)"
            )));
        }
        let mut taken = Vec::new();
        for (at, (section, place)) in answer.sections.iter().zip(&self.places).enumerate() {
            let Section::Media(media) = section else { continue };
            if media.mid != at.to_string() {
                return Err(say(format!("media section {at} of the answer has a=mid:{}", media.mid)));
            }
            let format = media.formats.iter().find(|format| format.takes(&place.format));
            if let (Some(track), Some(format), true) = (place.track, format, media.direction.receives()) {
                taken.push((track, format.clone()));
            }
        }
        Ok((answer, taken))
    }
}

/// The same codec with our payload types: one for each codec, so that packets are numbered alike for everybody.
fn offered_format(of: &Format) -> Format {
    let (payload_type, rtx, red) = match of.codec {
        Codec::Opus => (111, None, of.red.map(|_| 63)),
        Codec::Pcmu => (0, None, None),
        Codec::Pcma => (8, None, None),
        Codec::G722 => (9, None, None),
        Codec::Vp8 => (96, Some(97), None),
        Codec::Vp9 => (98, Some(99), None),
        Codec::H264 => (102, Some(103), None),
        Codec::Av1 => (45, Some(46), None),
    };
    let feedback = of.codec.feedback().to_vec();
    Format { codec: of.codec, payload_type, parameters: of.parameters.clone(), feedback, rtx, red }
}
