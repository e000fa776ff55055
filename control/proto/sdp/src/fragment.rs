//! Fragments of SDP with which candidates trickle in (RFC 8840 section 9, `application/trickle-ice-sdpfrag`).

use crate::error::SdpError;
use crate::ice::Ice;
use crate::limits;
use crate::section::Section;
use crate::session::Sdp;

/// What a fragment says of one m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Which: its identification. None: the one at the fragment's place.
    pub mid: Option<String>,
    /// Candidates, their end, and the credentials that they belong to.
    pub ice: Ice,
}

/// Reads a fragment: pseudo m-lines with their attributes, or attributes alone, which are of one m-line. A whole body will do.
///
/// # Errors
/// A limit, a line that is none.
pub fn fragments(body: &[u8]) -> Result<Vec<Fragment>, SdpError> {
    let sdp = Sdp::fragment(body)?;
    let read = |section: &Section<'_>| {
        let mid = section.attribute("mid").map(str::trim).filter(|mid| mid.len() <= limits::TOKEN_MAX);
        Ok(Fragment { mid: mid.map(str::to_owned), ice: Ice::read(sdp.session(), section)? })
    };
    if sdp.media().is_empty() {
        return Ok(vec![read(sdp.session())?]);
    }
    sdp.media().iter().map(|media| read(media.section())).collect()
}
