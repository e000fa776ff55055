//! What an m-line says of how its packets are to be understood, as text that a body of ours can have in it.

use crate::codecs::STATIC;
use crate::limits;
use crate::media::MediaSection;

/// Attributes that explain packets: formats, feedback, header extensions, packet times.
const ATTRIBUTES: [&str; 9] =
    ["rtpmap", "fmtp", "rtcp-fb", "ptime", "maxptime", "extmap", "extmap-allow-mixed", "framerate", "silenceSupp"];

/// Those of them that are about one format, whose number they begin with.
const OF_ONE: [&str; 3] = ["rtpmap", "fmtp", "rtcp-fb"];

impl MediaSection<'_> {
    /// The formats, then a line for each attribute that explains them: `0 101\na=rtpmap:0 PCMU/8000\n...`, at most
    /// [`ENCODING_MAX`](limits::ENCODING_MAX) octets; attributes that would be beyond are left out.
    #[must_use]
    pub fn encoding(&self) -> String {
        let mut text = self.words().get(3..).unwrap_or(&[]).join(" ");
        for line in &self.section().lines {
            let explains = line.attribute().is_some_and(|(name, _)| ATTRIBUTES.contains(&name));
            if explains && text.len() + line.text.len() < limits::ENCODING_MAX {
                text.push('\n');
                text.push_str(line.text.trim_end());
            }
        }
        text
    }
}

/// The formats and the lines of an [encoding](MediaSection::encoding), of these formats alone.
#[must_use]
pub fn only(encoding: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    let mut lines = encoding.split('\n');
    let formats = lines.next().unwrap_or("").split(' ').filter(|format| is_wanted(format));
    let mut text = formats.collect::<Vec<_>>().join(" ");
    let stays = |line: &&str| {
        let attribute = line.strip_prefix("a=").unwrap_or(line);
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let format = value.split(' ').next().unwrap_or("");
        !OF_ONE.contains(&name) || format == "*" || is_wanted(format)
    };
    for line in lines.filter(stays) {
        text.push('\n');
        text.push_str(line);
    }
    text
}

/// What a payload type stands for without `a=rtpmap` (RFC 3551 section 6): `PCMU/8000`.
#[must_use]
pub fn fixed(payload_type: u8) -> Option<String> {
    let (_, name, clock_rate) = STATIC.into_iter().find(|(number, _, _)| *number == payload_type)?;
    Some(format!("{name}/{clock_rate}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sdp;

    const BODY: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=video 4000 RTP/AVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
        a=rtcp-fb:* nack pli\r\na=rtcp-fb:97 nack\r\na=mid:1\r\na=sendrecv\r\na=extmap:3 urn:ietf:params:rtp-hdrext:toffset\r\n";

    #[test]
    fn what_explains_packets_is_kept_and_nothing_of_addresses_or_direction() {
        let sdp = Sdp::parse(BODY.as_bytes()).expect("a body");
        let text = sdp.media()[0].encoding();
        assert_eq!(
            text,
            "96 97\na=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\na=rtcp-fb:* nack pli\n\
            a=rtcp-fb:97 nack\na=extmap:3 urn:ietf:params:rtp-hdrext:toffset"
        );
        let less = "96\na=rtpmap:96 VP8/90000\na=rtcp-fb:* nack pli\na=extmap:3 urn:ietf:params:rtp-hdrext:toffset";
        assert_eq!(only(&text, |format| format == "96"), less);
    }

    #[test]
    fn an_encoding_has_a_limit() {
        let long = format!("a=fmtp:96 {}\r\n", "x".repeat(1000)).repeat(40);
        let body = format!("{BODY}{long}");
        let sdp = Sdp::parse(body.as_bytes()).expect("a body");
        let text = sdp.media()[0].encoding();
        assert!(text.len() <= limits::ENCODING_MAX && text.len() > limits::ENCODING_MAX - 1100, "{}", text.len());
    }
}
