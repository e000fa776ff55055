//! Fragments of session descriptions, by which candidates come later (RFC 8840 section 9, `application/trickle-ice-sdpfrag`).

use crate::limits;

/// Why a fragment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Longer than any.
    #[error("the fragment has {0} octets, at most {max} are taken", max = limits::SDP_MAX)]
    Long(usize),
    /// Not UTF-8.
    #[error("the fragment is not UTF-8")]
    Encoding,
    /// A line that is no `x=value`.
    #[error("line {0} of the fragment is no \"x=value\"")]
    Line(usize),
    /// A candidate before the media section that it is of.
    #[error("line {0} of the fragment has a candidate, and no m= or a=mid before it says of what")]
    Stray(usize),
    /// One of user name and password without the other.
    #[error("the fragment has only one of a=ice-ufrag and a=ice-pwd")]
    Half,
    /// Credentials that break RFC 8839 section 5.4.
    #[error("the fragment's a={0} is not of 4 (ufrag) or 22 (pwd) to 256 letters, digits, + and /")]
    Credentials(&'static str),
    /// Too many.
    #[error("the fragment has more than {max} candidates", max = limits::CANDIDATES_MAX)]
    Candidates,
}

/// A candidate as it stands in an `a=candidate` line, without `candidate:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrickledCandidate {
    /// Of the media section with this `a=mid`, or the one at this place.
    pub mid: Option<String>,
    /// What follows `candidate:`.
    pub text: String,
}

/// What came in a fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// User name and password: those of the session, or new ones if the client restarts ICE.
    pub credentials: Option<(String, String)>,
    /// In the order that they came.
    pub candidates: Vec<TrickledCandidate>,
    /// No more will come (RFC 8838 section 14).
    pub is_complete: bool,
}

impl Fragment {
    /// Reads what a client sent. What is not known is passed over.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn read(body: &[u8]) -> Result<Self, FragmentError> {
        if body.len() > limits::SDP_MAX {
            return Err(FragmentError::Long(body.len()));
        }
        let text = core::str::from_utf8(body).map_err(|_| FragmentError::Encoding)?;
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            reader.line(index + 1, line.trim_end_matches('\r'))?;
        }
        reader.end()
    }
}

#[derive(Default)]
struct Reader {
    fragment: Fragment,
    ufrag: Option<String>,
    password: Option<String>,
    in_media: bool,
    mid: Option<String>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), FragmentError> {
        if line.is_empty() {
            return Ok(());
        }
        let Some((letter, value)) = line.split_once('=').filter(|(letter, _)| letter.len() == 1) else {
            return Err(FragmentError::Line(number));
        };
        match letter {
            "m" => {
                self.in_media = true;
                self.mid = None;
            }
            "a" => self.attribute(number, value)?,
            _ => {}
        }
        Ok(())
    }

    fn attribute(&mut self, number: usize, attribute: &str) -> Result<(), FragmentError> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-ufrag" => self.ufrag = Some(ice_chars("ice-ufrag", value, 4)?),
            "ice-pwd" => self.password = Some(ice_chars("ice-pwd", value, 22)?),
            "mid" => {
                self.in_media = true;
                self.mid = Some(value.to_owned());
            }
            "candidate" => self.candidate(number, value)?,
            "end-of-candidates" => self.fragment.is_complete = true,
            _ => {}
        }
        Ok(())
    }

    fn candidate(&mut self, number: usize, value: &str) -> Result<(), FragmentError> {
        if !self.in_media {
            return Err(FragmentError::Stray(number));
        }
        if self.fragment.candidates.len() == limits::CANDIDATES_MAX {
            return Err(FragmentError::Candidates);
        }
        if value.len() > limits::CANDIDATE_MAX {
            return Err(FragmentError::Line(number));
        }
        self.fragment.candidates.push(TrickledCandidate { mid: self.mid.clone(), text: value.to_owned() });
        Ok(())
    }

    fn end(self) -> Result<Fragment, FragmentError> {
        let credentials = match (self.ufrag, self.password) {
            (Some(ufrag), Some(password)) => Some((ufrag, password)),
            (None, None) => None,
            _ => return Err(FragmentError::Half),
        };
        Ok(Fragment { credentials, ..self.fragment })
    }
}

fn ice_chars(name: &'static str, value: &str, least: usize) -> Result<String, FragmentError> {
    let is_ice_char = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/';
    let fits = (least..=256).contains(&value.len()) && value.bytes().all(is_ice_char);
    if fits { Ok(value.to_owned()) } else { Err(FragmentError::Credentials(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "YH75Fviy6338Vbrhrlp8Yh";

    fn whole() -> String {
        format!(
            "a=ice-ufrag:EsAw\r\na=ice-pwd:{PASSWORD}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
             a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\na=end-of-candidates\r\n"
        )
    }

    #[test]
    fn what_rfc_8840_shows_is_read() {
        let fragment = Fragment::read(whole().as_bytes()).expect("right");
        assert_eq!(fragment.credentials, Some(("EsAw".to_owned(), PASSWORD.to_owned())));
        assert_eq!(fragment.candidates.len(), 1);
        assert_eq!(fragment.candidates[0].mid.as_deref(), Some("0"));
        assert!(fragment.candidates[0].text.starts_with("1387637174 1 udp") && fragment.is_complete);
    }

    #[test]
    fn a_candidate_is_of_the_section_that_it_stands_in() {
        let text = "m=audio 9 RTP/AVP 0\na=mid:a\na=candidate:x\nm=video 9 RTP/AVP 96\na=candidate:y\n";
        let mids: Vec<_> =
            Fragment::read(text.as_bytes()).expect("right").candidates.into_iter().map(|c| c.mid).collect();
        assert_eq!(mids, [Some("a".to_owned()), None], "the second section does not say its mid");
        assert_eq!(Fragment::read(b"a=candidate:x\n"), Err(FragmentError::Stray(1)));
    }

    #[test]
    fn broken_fragments_are_refused_with_the_line() {
        assert_eq!(Fragment::read(b"a=mid:0\nnonsense\n"), Err(FragmentError::Line(2)));
        assert_eq!(Fragment::read(b"a=ice-ufrag:EsAw\n"), Err(FragmentError::Half));
        assert_eq!(Fragment::read(b"a=ice-ufrag:E w\n"), Err(FragmentError::Credentials("ice-ufrag")));
        assert_eq!(Fragment::read(&[b'a', b'=', 0xff]), Err(FragmentError::Encoding));
        let many = format!("a=mid:0\n{}", "a=candidate:x\n".repeat(limits::CANDIDATES_MAX + 1));
        assert_eq!(Fragment::read(many.as_bytes()), Err(FragmentError::Candidates));
        assert_eq!(Fragment::read(&vec![b'a'; limits::SDP_MAX + 1]), Err(FragmentError::Long(limits::SDP_MAX + 1)));
    }
}
