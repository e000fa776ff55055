//! WHIP (RFC 9725) and WHEP: what a request on an endpoint or a session asks for, before anything is done.

use core::fmt;
use core::fmt::Write;

use crate::fragment::Fragment;
use crate::limits;
use crate::refusal::Refusal;

/// The type of an offer and an answer.
pub const SDP_TYPE: &str = "application/sdp";

/// The type of a fragment (RFC 8840 section 9).
pub const SDP_FRAGMENT_TYPE: &str = "application/trickle-ice-sdpfrag";

/// Which way media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// From the client: WHIP.
    Publish,
    /// To the client: WHEP.
    Play,
}

/// Methods that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// What browsers ask first.
    Options,
    /// An offer.
    Post,
    /// A fragment.
    Patch,
    /// The end.
    Delete,
    /// Anything else.
    Other,
}

/// What an address is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/whip/ROOM`, `/whep/ROOM`.
    Endpoint,
    /// What `Location` named.
    Session,
}

impl Resource {
    /// The methods that it takes, for `Allow` and `Access-Control-Allow-Methods`.
    #[must_use]
    pub const fn methods(self) -> &'static str {
        match self {
            Self::Endpoint => "OPTIONS, POST",
            Self::Session => "OPTIONS, PATCH, DELETE",
        }
    }

    /// Whether `method` is one of them, and `content_type` and `octets` fit it.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(self, method: Method, content_type: Option<&str>, octets: usize) -> Result<(), Refusal> {
        let body = match (self, method) {
            (_, Method::Options) | (Self::Session, Method::Delete) => return Ok(()),
            (Self::Endpoint, Method::Post) => SDP_TYPE,
            (Self::Session, Method::Patch) => SDP_FRAGMENT_TYPE,
            _ => return Err(Refusal::Method(self.methods())),
        };
        if !content_type.is_some_and(|given| is_type(given, body)) {
            return Err(Refusal::Type(body));
        }
        if octets > limits::SDP_MAX { Err(Refusal::Long(limits::SDP_MAX)) } else { Ok(()) }
    }
}

/// Whether a `Content-Type` is `wanted`, whatever its parameters (RFC 9110 section 8.3.1).
fn is_type(given: &str, wanted: &str) -> bool {
    given.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

/// Says which ICE session a change is of (RFC 9725 section 4.3.1); another one after each restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag(u64);

impl EntityTag {
    /// Of random octets: who does not know the session cannot name it.
    #[must_use]
    pub const fn from_random(random: u64) -> Self {
        Self(random)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{:016x}\"", self.0)
    }
}

/// What a `PATCH` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// More candidates: answered with 204.
    Trickle(Fragment),
    /// ICE anew, with these credentials: answered with 200, our own ones and another tag.
    Restart(Fragment),
}

impl Change {
    /// Reads a `PATCH` on a session whose tag is `current`. `peer`: the client's ICE user name so far.
    ///
    /// RFC 9725 section 4.3: `If-Match` holds the tag for candidates and `*` for a restart; without it 428, with another one
    /// 412. A client that sends `*` with the credentials of before has restarted nothing: its candidates are taken.
    ///
    /// # Errors
    /// What is missing, does not match or cannot be read.
    pub fn read(if_match: Option<&str>, current: EntityTag, peer: &str, body: &[u8]) -> Result<Self, Refusal> {
        let if_match = if_match.map(str::trim).filter(|value| !value.is_empty()).ok_or(Refusal::NoEntityTag)?;
        let any = if_match == "*";
        if !any && !names(if_match, current) {
            return Err(Refusal::EntityTag(current.to_string()));
        }
        let fragment = Fragment::read(body)?;
        let is_new = fragment.credentials.as_ref().is_some_and(|(ufrag, _)| ufrag != peer);
        match (any, is_new) {
            (true, true) => Ok(Self::Restart(fragment)),
            (false, true) => Err(Refusal::EntityTag(current.to_string())),
            (_, false) => Ok(Self::Trickle(fragment)),
        }
    }
}

/// Whether a list of tags has `current`; weak ones never match (RFC 9110 section 13.1.1).
fn names(if_match: &str, current: EntityTag) -> bool {
    let current = current.to_string();
    if_match.split(',').take(limits::ENTITY_TAGS_MAX).any(|tag| tag.trim() == current)
}

/// A STUN or TURN server that clients are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:HOST:PORT`, `turn:HOST:PORT?transport=udp`.
    pub url: String,
    /// User name and password of a TURN server.
    pub credentials: Option<(String, String)>,
}

impl IceServer {
    /// The value of a `Link` header (RFC 9725 section 4.6).
    #[must_use]
    pub fn link(&self) -> String {
        let mut link = format!("<{}>; rel=\"ice-server\"", self.url);
        if let Some((user, password)) = &self.credentials {
            let (user, password) = (quoted(user), quoted(password));
            write!(link, "; username={user}; credential={password}; credential-type=\"password\"")
                .expect("a string takes all");
        }
        link
    }
}

/// A quoted string (RFC 9110 section 5.6.4); what has no place in one is left out.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: EntityTag = EntityTag::from_random(0x0123_4567_89ab_cdef);
    const BODY: &[u8] = b"a=ice-ufrag:EsAw\r\na=ice-pwd:YH75Fviy6338Vbrhrlp8Yh\r\nm=audio 9 X 0\r\na=mid:0\r\n";

    #[test]
    fn an_endpoint_takes_offers_and_a_session_changes() {
        let endpoint = |method, kind| Resource::Endpoint.check(method, kind, 10).map_err(|refusal| refusal.status());
        assert_eq!(endpoint(Method::Post, Some("application/sdp")), Ok(()));
        assert_eq!(endpoint(Method::Post, Some("Application/SDP; charset=utf-8")), Ok(()));
        assert_eq!(endpoint(Method::Post, Some("application/sdpx")), Err(415));
        assert_eq!(endpoint(Method::Post, None), Err(415));
        assert_eq!(endpoint(Method::Patch, Some(SDP_FRAGMENT_TYPE)), Err(405));
        assert_eq!(endpoint(Method::Options, None), Ok(()));
        let session = |method, kind| Resource::Session.check(method, kind, 10).map_err(|refusal| refusal.status());
        assert_eq!(session(Method::Delete, None), Ok(()));
        assert_eq!(session(Method::Patch, Some(SDP_FRAGMENT_TYPE)), Ok(()));
        assert_eq!(session(Method::Post, Some(SDP_TYPE)), Err(405));
        let long = Resource::Endpoint.check(Method::Post, Some(SDP_TYPE), limits::SDP_MAX + 1);
        assert_eq!(long.map_err(|refusal| refusal.status()), Err(413));
    }

    #[test]
    fn candidates_need_the_tag_of_the_session() {
        let status = |if_match| Change::read(if_match, TAG, "EsAw", BODY).map_err(|refusal| refusal.status());
        assert!(matches!(status(Some("\"0123456789abcdef\"")), Ok(Change::Trickle(_))));
        assert!(matches!(status(Some("\"x\", \"0123456789abcdef\"")), Ok(Change::Trickle(_))));
        assert_eq!(status(None), Err(428));
        assert_eq!(status(Some(" ")), Err(428));
        assert_eq!(status(Some("\"0123456789abcdee\"")), Err(412));
        assert_eq!(status(Some("W/\"0123456789abcdef\"")), Err(412), "weak tags do not match");
        assert_eq!(Change::read(Some("*"), TAG, "EsAw", b"x").map_err(|refusal| refusal.status()), Err(400));
    }

    #[test]
    fn new_credentials_restart_ice_and_only_with_a_star() {
        assert!(matches!(Change::read(Some("*"), TAG, "other", BODY), Ok(Change::Restart(_))));
        assert!(matches!(Change::read(Some("*"), TAG, "EsAw", BODY), Ok(Change::Trickle(_))), "nothing has changed");
        let with_tag = Change::read(Some("\"0123456789abcdef\""), TAG, "other", BODY);
        assert_eq!(with_tag.map_err(|refusal| refusal.status()), Err(412));
    }

    #[test]
    fn a_server_is_told_in_a_link_that_nothing_breaks_out_of() {
        let server = |credentials| IceServer { url: "turn:192.0.2.1:3478".to_owned(), credentials }.link();
        assert_eq!(server(None), "<turn:192.0.2.1:3478>; rel=\"ice-server\"");
        let with = server(Some(("a\"b".to_owned(), "c\\d\r\nX: y".to_owned())));
        assert!(
            with.ends_with("; username=\"a\\\"b\"; credential=\"c\\\\dX: y\"; credential-type=\"password\""),
            "{with}"
        );
    }
}
