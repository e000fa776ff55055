//! What a party offers.

use std::net::SocketAddr;

use raceway_sdp::{Description, Direction, Fingerprint, IceCredentials, Kind, Media, Sdp, Setup};

use super::codec::{Codec, Format};
use super::extension::Extension;
use crate::limits;
use crate::refusal::Refusal;

/// A media section that can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaOffer {
    /// Its identification.
    pub mid: String,
    /// Audio, not video.
    pub is_audio: bool,
    /// The way that its party wants.
    pub direction: Direction,
    /// Codecs that can be forwarded, in its order.
    pub formats: Vec<Format>,
    /// Header extensions that are understood, by its ids.
    pub extensions: Vec<(u8, Extension)>,
    /// Encodings that it sends, by name (RFC 8853), in the order of `a=simulcast`.
    pub encodings: Vec<String>,
    /// Synchronisation sources that it announces (RFC 5576).
    pub ssrcs: Vec<u32>,
}

/// A media section: what is answered has as many, in the same order (RFC 3264 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// It can be taken.
    Media(MediaOffer),
    /// It is refused, whatever is decided: data channels, other media, no codec, outside the bundle.
    Refused {
        /// The m-line, with port 0.
        line: String,
        /// Its identification.
        mid: Option<String>,
    },
}

/// An offer, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// As they stand in it.
    pub sections: Vec<Section>,
    /// Of the bundle.
    pub credentials: IceCredentials,
    /// Candidates that came with it: address and priority.
    pub candidates: Vec<(SocketAddr, u32)>,
    /// Of its certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// Whether we have to open DTLS: it only waits.
    pub we_open: bool,
}

impl Offered {
    /// Reads an offer.
    ///
    /// # Errors
    /// When it is none, or nothing in it can be taken: [`Refusal::Description`] says why.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > limits::SDP_MAX {
            return Err(Refusal::Long(limits::SDP_MAX));
        }
        let say = |why: &dyn std::fmt::Display| Refusal::Description(why.to_string());
        let sdp = Sdp::parse(body).map_err(|error| say(&error))?;
        let description = sdp.describe().map_err(|error| say(&error))?;
        let bundle = bundle_of(&description)?;
        let sections: Vec<_> = (0..description.media.len()).map(|at| section(&sdp, &description, at, bundle)).collect();
        let mut taken = Vec::new();
        for (section, media) in sections.iter().zip(&description.media) {
            if matches!(section, Section::Media(_)) {
                taken.push(media);
            }
        }
        let transport = taken.first().ok_or_else(|| {
            say(&"nothing in the offer can be taken: audio or video by UDP/TLS/RTP/SAVPF with a=rtcp-mux and a codec of \
                 opus, PCMU, PCMA, G722, VP8, VP9, H264, AV1 is")
        })?;
        Self::of(transport, &taken, sections)
    }

    fn of(transport: &Media, taken: &[&Media], sections: Vec<Section>) -> Result<Self, Refusal> {
        let say = |why: &str| Refusal::Description(why.to_owned());
        let credentials = transport.ice.credentials.clone();
        let credentials = credentials.ok_or_else(|| say("the offer has no a=ice-ufrag and a=ice-pwd"))?;
        let strays = |media: &&&Media| media.ice.credentials.as_ref() != Some(&credentials);
        if taken.iter().any(|media| strays(&media)) {
            return Err(say("the media sections of the bundle have different ICE credentials"));
        }
        if transport.fingerprints.is_empty() {
            return Err(say("the offer has no a=fingerprint: media without DTLS-SRTP is not taken"));
        }
        let we_open = match transport.setup {
            Some(Setup::Passive) => true,
            Some(Setup::HoldConn) => return Err(say("a=setup:holdconn cannot be answered")),
            _ => false,
        };
        let candidates = taken.iter().flat_map(|media| media.ice.udp());
        let rtp =
            candidates.filter(|(component, ..)| *component == 1).map(|(_, address, priority)| (address, priority));
        let mut candidates: Vec<_> = rtp.take(limits::CANDIDATES_MAX).collect();
        candidates.dedup();
        Ok(Self { sections, credentials, candidates, fingerprints: transport.fingerprints.clone(), we_open })
    }
}

/// The group that everything is in; none where there is one media section.
fn bundle_of(description: &Description) -> Result<Option<&[String]>, Refusal> {
    match (&description.bundles[..], description.media.len()) {
        ([], 0 | 1) => Ok(None),
        ([], _) => Err(Refusal::Description(
            "the offer has several media sections and no a=group:BUNDLE (RFC 9725 section 4.2)".into(),
        )),
        ([first, ..], _) => Ok(Some(first)),
    }
}

fn section(sdp: &Sdp<'_>, description: &Description, at: usize, bundle: Option<&[String]>) -> Section {
    let (media, lines) = (&description.media[at], sdp.media()[at].section());
    let is_audio = media.kind == Kind::Audio;
    let is_named = media.mid.as_ref().is_none_or(|mid| mid.len() <= limits::MID_MAX);
    let is_bundled = bundle.is_none_or(|mids| media.mid.as_ref().is_some_and(|mid| mids.contains(mid)));
    let is_media = (is_audio || media.kind == Kind::Video) && media.protocol.is_dtls() && media.rtcp_mux;
    let formats = formats(media, lines, is_audio);
    let refused = || {
        let words: Vec<_> = m_line(sdp, at).split_ascii_whitespace().collect();
        let line = words.iter().enumerate().map(|(index, word)| if index == 1 { "0" } else { word });
        Section::Refused { line: line.collect::<Vec<_>>().join(" "), mid: media.mid.clone() }
    };
    if !is_named || !is_bundled || !is_media || media.is_refused() || formats.is_empty() {
        return refused();
    }
    Section::Media(MediaOffer {
        mid: media.mid.clone().unwrap_or_default(),
        is_audio,
        direction: media.direction,
        formats,
        extensions: extensions(lines),
        encodings: encodings(media, lines),
        ssrcs: media.ssrcs.clone(),
    })
}

fn m_line<'a>(sdp: &'a Sdp<'_>, at: usize) -> &'a str {
    sdp.media()[at].line()
}

fn formats(media: &Media, lines: &raceway_sdp::Section<'_>, is_audio: bool) -> Vec<Format> {
    let mut formats = Vec::new();
    for known in &media.codecs.0 {
        let Some(codec) = Codec::of(&known.name, known.clock_rate).filter(|codec| codec.is_audio() == is_audio) else {
            continue;
        };
        // What one says of a codec is repeated to all who play it.
        if known.parameters.as_ref().is_some_and(|parameters| parameters.len() > limits::PARAMETERS_MAX) {
            continue;
        }
        let about = |name: &str, wanted: &str| {
            let found = media.codecs.0.iter().filter(|other| other.is(name));
            let mut found =
                found.filter(|other| other.parameters.as_deref().is_some_and(|text| is_about(text, wanted)));
            found.next().map(|other| other.payload_type)
        };
        let payload_type = known.payload_type;
        formats.push(Format {
            codec,
            payload_type,
            parameters: known.parameters.clone(),
            feedback: feedback(lines, codec, payload_type),
            rtx: about("rtx", &format!("apt={payload_type}")),
            red: is_audio.then(|| about("red", &format!("{payload_type}/{payload_type}"))).flatten(),
        });
    }
    formats
}

/// Whether parameters have `wanted` among them: `apt=96`, or the first blocks of `111/111` (RFC 2198 section 5).
fn is_about(parameters: &str, wanted: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let parameter = parameter.trim();
        parameter == wanted
            || wanted.contains('/') && parameter.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
    })
}

fn feedback(lines: &raceway_sdp::Section<'_>, codec: Codec, payload_type: u8) -> Vec<&'static str> {
    let values =
        lines.attributes().filter(|(name, _)| *name == "rtcp-fb").filter_map(|(_, value)| value?.split_once(' '));
    let of_this = values.filter(|(of, _)| *of == "*" || of.parse() == Ok(payload_type));
    let said: Vec<_> = of_this.map(|(_, kind)| kind.trim()).collect();
    codec.feedback().iter().copied().filter(|kind| said.contains(kind)).collect()
}

fn extensions(lines: &raceway_sdp::Section<'_>) -> Vec<(u8, Extension)> {
    let mut extensions: Vec<(u8, Extension)> = Vec::new();
    for (_, value) in lines.attributes().filter(|(name, _)| *name == "extmap") {
        let Some((id, uri)) = value.and_then(|value| value.split_once(' ')) else { continue };
        // `ID/DIRECTION`: one that goes only the other way is of no use, and none has it (RFC 8285 section 8).
        let (Ok(id), Some(extension)) = (id.parse::<u8>(), uri.split(' ').next().and_then(Extension::of)) else {
            continue;
        };
        let is_new = !extensions.iter().any(|(other, known)| *other == id || *known == extension);
        if (1..=14).contains(&id) && is_new {
            extensions.push((id, extension));
        }
    }
    extensions
}

/// The names in `a=simulcast:send` (RFC 8853 section 5.1) that an `a=rid ... send` explains; of alternatives the first.
fn encodings(media: &Media, lines: &raceway_sdp::Section<'_>) -> Vec<String> {
    let Some(simulcast) = lines.attribute("simulcast") else { return Vec::new() };
    let mut words = simulcast.split_ascii_whitespace();
    let list = loop {
        match (words.next(), words.next()) {
            (Some("send"), Some(list)) => break list,
            (Some(_), Some(_)) => {}
            _ => return Vec::new(),
        }
    };
    let first = |alternatives: &str| alternatives.split(',').next().unwrap_or("").trim_start_matches('~').to_owned();
    let mut names = Vec::new();
    for name in list.split(';').map(first).filter(|name| media.rids.contains(name)) {
        let is_name = name.len() <= limits::MID_MAX && name.bytes().all(|octet| octet.is_ascii_alphanumeric());
        if is_name && names.len() < limits::ENCODINGS_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
