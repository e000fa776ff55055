//! Formats of an m-line (RFC 8866 sections 6.6 and 6.15, RFC 3551, RFC 4733).

use sdp_types::attributes::RtpMap;

use crate::section::Section;

/// Payload types that mean something without `a=rtpmap` (RFC 3551 section 6).
pub(crate) const STATIC: [(u8, &str, u32); 17] = [
    (0, "PCMU", 8000),
    (3, "GSM", 8000),
    (4, "G723", 8000),
    (5, "DVI4", 8000),
    (6, "DVI4", 16_000),
    (7, "LPC", 8000),
    (8, "PCMA", 8000),
    (9, "G722", 8000),
    (13, "CN", 8000),
    (15, "G728", 8000),
    (18, "G729", 8000),
    (26, "JPEG", 90_000),
    (31, "H261", 90_000),
    (32, "MPV", 90_000),
    (33, "MP2T", 90_000),
    (34, "H263", 90_000),
    (12, "QCELP", 8000),
];

/// One format of an RTP m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// RTP payload type.
    pub payload_type: u8,
    /// Encoding name, as it was written.
    pub name: String,
    /// Hertz of RTP timestamps.
    pub clock_rate: u32,
    /// Channels of audio, where they are said.
    pub channels: Option<String>,
    /// What `a=fmtp` says of it.
    pub parameters: Option<String>,
}

impl Codec {
    /// Whether it is this encoding, whose names have no case (RFC 8866 section 6.6).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it is media, and not events, comfort noise, or what repairs others.
    #[must_use]
    pub fn is_media(&self) -> bool {
        !["telephone-event", "CN", "red", "ulpfec", "rtx"].iter().any(|name| self.is(name))
    }
}

impl std::fmt::Display for Codec {
    /// `PCMU/8000`, `opus/48000/2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.clock_rate)?;
        self.channels.as_ref().map_or(Ok(()), |channels| write!(f, "/{channels}"))
    }
}

/// Formats of an RTP m-line in order of preference. Payload types that nothing explains are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codecs(pub Vec<Codec>);

impl Codecs {
    /// The one that a payload type stands for.
    #[must_use]
    pub fn of(&self, payload_type: u8) -> Option<&Codec> {
        self.0.iter().find(|codec| codec.payload_type == payload_type)
    }

    /// The first that is media and not events or comfort noise.
    #[must_use]
    pub fn preferred(&self) -> Option<&Codec> {
        self.0.iter().find(|codec| codec.is_media())
    }

    /// Payload type of telephone events (RFC 4733), of the clock rate of the preferred codec where there are several.
    #[must_use]
    pub fn telephone_event(&self) -> Option<u8> {
        let rate = self.preferred().map(|codec| codec.clock_rate);
        let mut events = self.0.iter().filter(|codec| codec.is("telephone-event"));
        let first = events.clone().next();
        let same = events.find(|codec| Some(codec.clock_rate) == rate);
        same.or(first).map(|codec| codec.payload_type)
    }

    pub(crate) fn read(section: &Section<'_>, formats: &[&str]) -> Self {
        let maps: Vec<RtpMap> = values(section, "rtpmap").filter_map(|value| value.trim().parse().ok()).collect();
        let fmtp = |payload_type: u8| {
            values(section, "fmtp")
                .filter_map(|value| value.split_once(' '))
                .find_map(|(format, parameters)| (format.parse() == Ok(payload_type)).then(|| parameters.to_owned()))
        };
        let payload_types = formats.iter().filter_map(|format| format.parse().ok()).filter(|number| *number < 128);
        let codecs = payload_types.filter_map(|payload_type: u8| {
            let parameters = fmtp(payload_type);
            if let Some(map) = maps.iter().find(|map| map.payload_type == payload_type) {
                let (name, channels) = (map.encoding_name.clone(), map.encoding_params.clone());
                return Some(Codec { payload_type, name, clock_rate: map.clock_rate, channels, parameters });
            }
            let (_, name, clock_rate) = STATIC.into_iter().find(|(number, _, _)| *number == payload_type)?;
            Some(Codec { payload_type, name: name.to_owned(), clock_rate, channels: None, parameters })
        });
        Self(codecs.collect())
    }
}

fn values<'s>(section: &'s Section<'_>, name: &'static str) -> impl Iterator<Item = &'s str> {
    section.attributes().filter(move |(known, _)| *known == name).filter_map(|(_, value)| value)
}
