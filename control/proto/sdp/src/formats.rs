//! Formats that are taken out of an m-line, or put in another order.

use crate::codecs::{Codec, Codecs};
use crate::media::MediaSection;
use crate::protocol::Protocol;

/// A codec as commands name it: `opus`, `opus/48000/2`, a payload type. With a clock rate and no channels, of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecName {
    name: String,
    clock_rate: Option<u32>,
    channels: u8,
}

impl CodecName {
    /// By its text; what comes after channels (bit rate, options of an encoder) is left out.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut words = text.split('/');
        let name = words.next().unwrap_or_default().trim().to_owned();
        let clock_rate = words.next().and_then(|rate| rate.parse().ok());
        Self { name, clock_rate, channels: words.next().and_then(|channels| channels.parse().ok()).unwrap_or(1) }
    }

    /// Whether a format of an m-line is meant; `codec` is what it stands for, if that is known.
    fn means(&self, format: &str, codec: Option<&Codec>) -> bool {
        let of = |codec: &Codec| {
            let channels = codec.channels.as_deref().and_then(|channels| channels.parse().ok()).unwrap_or(1);
            let same = self.clock_rate.is_none_or(|rate| (rate, self.channels) == (codec.clock_rate, channels));
            codec.is(&self.name) && same
        };
        self.name == format || codec.is_some_and(of)
    }
}

/// Which formats an m-line keeps, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These go.
    pub strip: Vec<CodecName>,
    /// All go that are in neither of the others.
    pub strip_all: bool,
    /// These stay when all go.
    pub except: Vec<CodecName>,
    /// These stay in any case, and come first, in this order.
    pub offer: Vec<CodecName>,
    /// Of what is media, and no events or comfort noise, the first alone stays.
    pub single: bool,
}

impl Selection {
    /// Formats of an m-line that stay, in their order. None would stay: all do.
    fn formats<'f>(&self, formats: &[&'f str], codecs: &Codecs) -> Vec<&'f str> {
        let codec = |format: &str| codecs.of(format.parse().ok()?);
        let is_in = |names: &[CodecName], format: &str| names.iter().position(|name| name.means(format, codec(format)));
        let stays = |format: &&&str| {
            let is_offered = is_in(&self.offer, format).is_some();
            let goes = is_in(&self.strip, format).is_some() || self.strip_all && is_in(&self.except, format).is_none();
            is_offered || !goes
        };
        let mut left: Vec<&str> = formats.iter().filter(stays).copied().collect();
        left.sort_by_key(|format| is_in(&self.offer, format).unwrap_or(usize::MAX));
        if self.single {
            let mut media = left.iter().filter(|format| codec(format).is_none_or(Codec::is_media));
            let first = media.next().copied();
            left.retain(|format| Some(*format) == first || codec(format).is_some_and(|codec| !codec.is_media()));
        }
        // What repeats a format goes with it (RFC 4588 section 8.1).
        let repeats = |format: &str| codec(format)?.parameters.as_deref()?.split(';').find_map(apt);
        let kept = left.clone();
        left.retain(|format| repeats(format).is_none_or(|of| kept.contains(&of)));
        let has_media = left.iter().any(|format| codec(format).is_none_or(Codec::is_media));
        if has_media { left } else { formats.to_vec() }
    }
}

fn apt(parameter: &str) -> Option<&str> {
    parameter.trim().strip_prefix("apt=")
}

impl MediaSection<'_> {
    /// Takes formats out of an RTP m-line, and what is said of them, and puts the others in order.
    pub fn select(&mut self, selection: &Selection) {
        let words: Vec<String> = self.words().into_iter().map(str::to_owned).collect();
        let Some((head, formats)) = words.split_at_checked(3).filter(|(head, _)| Protocol::of(&head[2]).is_rtp())
        else {
            return;
        };
        let formats: Vec<&str> = formats.iter().map(String::as_str).collect();
        let left = selection.formats(&formats, &Codecs::read(&self.0, &formats));
        if left == formats {
            return;
        }
        let goes = |format: &str| formats.contains(&format) && !left.contains(&format);
        let first_word = |value: &str| value.split([' ', '\t']).next().is_some_and(&goes);
        self.0.remove(|name, value| ["rtpmap", "fmtp", "rtcp-fb"].contains(&name) && value.is_some_and(first_word));
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        self.0.set_value('m', &[head, left].concat().join(" "));
    }
}
