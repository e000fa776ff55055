//! A body: the session and its m-lines.

use crate::error::{SdpError, quote};
use crate::ice::SESSION_ATTRIBUTES;
use crate::limits;
use crate::lines::{Charset, Ending, Line, split};
use crate::media::MediaSection;
use crate::origin::Origin;
use crate::section::{Section, clean};

/// A session description as its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp<'a> {
    charset: Charset,
    session: Section<'a>,
    media: Vec<MediaSection<'a>>,
}

impl<'a> Sdp<'a> {
    /// Splits a body into its lines. Octets that are not UTF-8 make it ISO 8859-1.
    ///
    /// # Errors
    /// A limit, a line that is none, a body that does not begin with `v=0`, an m-line that is none.
    pub fn parse(body: &'a [u8]) -> Result<Self, SdpError> {
        let sdp = Self::fragment(body)?;
        match sdp.session.lines.first().map(|line| line.text.trim_end()) {
            Some("v=0") => Ok(sdp),
            other => Err(SdpError::Version(quote(other.unwrap_or("")))),
        }
    }

    /// The same of a part of a body.
    pub(crate) fn fragment(body: &'a [u8]) -> Result<Self, SdpError> {
        let (charset, lines) = split(body)?;
        let is_lf = lines.first().is_some_and(|line| line.ending == Ending::Lf);
        let ending = if is_lf { Ending::Lf } else { Ending::CrLf };
        let mut sdp = Self { charset, session: Section { lines: Vec::new(), ending }, media: Vec::new() };
        for line in lines {
            sdp.push(line, ending)?;
        }
        Ok(sdp)
    }

    fn push(&mut self, line: Line<'a>, ending: Ending) -> Result<(), SdpError> {
        if line.letter() == Some('m') {
            check_media(&line)?;
            if self.media.len() == limits::MEDIA_MAX {
                return Err(SdpError::TooMany { line: line.number, what: "m-lines", max: limits::MEDIA_MAX });
            }
            self.media.push(MediaSection(Section { lines: vec![line], ending }));
        } else {
            let section = self.media.last_mut().map_or(&mut self.session, |media| &mut media.0);
            section.lines.push(line);
        }
        Ok(())
    }

    /// The body, in the character set that it came in unless something was added that this cannot say.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let text = self.text();
        if self.charset == Charset::Latin1
            && let Ok(octets) = text.chars().map(u8::try_from).collect()
        {
            return octets;
        }
        text.into_bytes()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = || self.session.lines.iter().chain(self.media.iter().flat_map(|media| &media.0.lines));
        let mut text = String::with_capacity(lines().map(|line| line.text.len() + 2).sum());
        let mut is_open = false;
        for line in lines() {
            if is_open {
                text.push_str(self.session.ending.as_str());
            }
            text.push_str(&line.text);
            text.push_str(line.ending.as_str());
            is_open = line.ending == Ending::Open;
        }
        text
    }

    /// Lines before the first m-line.
    #[must_use]
    pub const fn session(&self) -> &Section<'a> {
        &self.session
    }

    /// The same, to be changed.
    pub const fn session_mut(&mut self) -> &mut Section<'a> {
        &mut self.session
    }

    /// The m-lines.
    #[must_use]
    pub fn media(&self) -> &[MediaSection<'a>] {
        &self.media
    }

    /// The same, to be changed.
    pub fn media_mut(&mut self) -> &mut [MediaSection<'a>] {
        &mut self.media
    }

    /// Removes m-lines that the predicate names (sdp-media-remove): only before the other side has seen them, as RFC 3264
    /// section 8 lets none be removed later.
    pub fn retain_media(&mut self, mut is_wanted: impl FnMut(usize, &MediaSection<'_>) -> bool) {
        let mut index = 0;
        self.media.retain(|media| {
            index += 1;
            is_wanted(index - 1, media)
        });
    }

    /// The o-line, if it has its six fields.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.session.find('o').and_then(|line| Origin::parse(line.value()))
    }

    /// Replaces the o-line; nothing where there is none.
    pub fn set_origin(&mut self, origin: &Origin) {
        self.session.set_value('o', &origin.to_string());
    }

    /// The s-line.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        self.session.find('s').map(Line::value)
    }

    /// Replaces the s-line; nothing where there is none.
    pub fn set_session_name(&mut self, name: &str) {
        self.session.set_value('s', name);
    }

    /// Removes ICE of the session and of every m-line (RFC 8839).
    pub fn remove_ice(&mut self) {
        self.session.remove_all(&SESSION_ATTRIBUTES);
        self.media.iter_mut().for_each(MediaSection::remove_ice);
    }

    /// Puts BUNDLE groups (RFC 9143) of these identifications where such were; of none, every m-line stands for itself.
    pub fn set_bundles(&mut self, groups: &[Vec<String>]) {
        let mut groups = groups.iter();
        for line in std::mem::take(&mut self.session.lines) {
            let is_bundle = line.attribute().is_some_and(|(name, value)| {
                name == "group" && value.is_some_and(|value| value.split(' ').next() == Some("BUNDLE"))
            });
            if !is_bundle {
                self.session.lines.push(line);
            } else if let Some(group) = groups.next() {
                let text = format!("a=group:BUNDLE {}", clean(&group.join(" ")));
                let text = if line.text == text { line.text } else { text.into() };
                self.session.lines.push(Line { text, ..line });
            }
        }
        groups.for_each(|group| self.session.add("group", Some(&format!("BUNDLE {}", group.join(" ")))));
    }
}

fn check_media(line: &Line<'_>) -> Result<(), SdpError> {
    let words: Vec<&str> = line.value().split_ascii_whitespace().take(4).collect();
    let wrong = || SdpError::MediaLine { line: line.number, text: quote(&line.text) };
    let [_, port, _, ..] = words[..] else { return Err(wrong()) };
    crate::describe::port(line, port).map(|_| ())
}
