//! Bodies over a limit or against the grammar, each with its reason.

use raceway_sdp::{Sdp, SdpError, limits};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

/// The error of parsing or describing.
fn error(body: impl AsRef<[u8]>) -> SdpError {
    match Sdp::parse(body.as_ref()) {
        Err(error) => error,
        Ok(sdp) => sdp.describe().expect_err("a rule is broken"),
    }
}

fn many(line: &str, count: usize) -> String {
    format!("{HEAD}m=audio 1 RTP/AVP 0\r\n{}", line.repeat(count))
}

#[test]
fn each_limit_has_its_reason() {
    assert_eq!(error(vec![b'x'; limits::BODY_MAX + 1]), SdpError::BodyTooLong(limits::BODY_MAX + 1));
    let long = format!("{HEAD}a={}\r\n", "x".repeat(limits::LINE_MAX - 1));
    assert_eq!(error(long), SdpError::LineTooLong { line: 6, octets: limits::LINE_MAX + 1 });
    let too_many = |body: String, expected: &str| match error(body) {
        SdpError::TooMany { what, .. } => assert_eq!(what, expected),
        other => panic!("{other}"),
    };
    too_many(many("a=x\r\n", limits::LINES_MAX), "lines");
    too_many(many("m=audio 1 RTP/AVP 0\r\n", limits::MEDIA_MAX), "m-lines");
    let candidate = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n";
    too_many(many(candidate, limits::CANDIDATES_MAX + 1), "candidates of one m-line");
    too_many(many("a=crypto:1 x inline:x\r\n", limits::CRYPTO_MAX + 1), "a=crypto lines");
    too_many(format!("{HEAD}{}", "a=group:BUNDLE 1\r\n".repeat(limits::GROUPS_MAX + 1)), "groups");
    too_many(format!("{HEAD}m=audio 1 RTP/AVP{}\r\n", " 0".repeat(limits::FORMATS_MAX + 1)), "formats");
}

#[test]
fn what_is_at_a_limit_is_read() {
    let body = format!(
        "{HEAD}a={}\r\n{}",
        "x".repeat(limits::LINE_MAX - 2),
        "m=audio 1 RTP/AVP 0\r\n".repeat(limits::MEDIA_MAX)
    );
    assert_eq!(Sdp::parse(body.as_bytes()).unwrap().describe().unwrap().media.len(), limits::MEDIA_MAX);
}

#[test]
fn malformed_lines_are_named() {
    let cases = [
        ("", r#"SDP does not begin with v=0 but with """#),
        ("v=1\r\n", r#"SDP does not begin with v=0 but with "v=1""#),
        ("v=0\r\nhello\r\n", r#"SDP line 2 is not <type>=<value>: "hello""#),
        ("v=0\r\ns=a\0b\r\n", r#"SDP line 2 is not <type>=<value>: "s=a\0b""#),
        ("v=0\r\ns=a\rb\r\n", r#"SDP line 2 is not <type>=<value>: "s=a\rb""#),
        ("v=0\r\nm=audio\r\n", r#"SDP line 2 is not m=<media> <port> <protocol> <formats>: "m=audio""#),
        (
            "v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
            r#"SDP line 2 is not m=<media> <port> <protocol> <formats>: "m=audio 65536 RTP/AVP 0""#,
        ),
        ("v=0\r\nc=IN IP4\r\n", r#"SDP line 2 is not c=IN IP4|IP6 <address>: "c=IN IP4""#),
        ("v=0\r\nc=IN IP6 192.0.2.1\r\n", r#"SDP line 2 is not c=IN IP4|IP6 <address>: "c=IN IP6 192.0.2.1""#),
    ];
    for (body, expected) in cases {
        assert_eq!(error(body).to_string(), expected);
    }
}

#[test]
fn attributes_that_are_malformed_are_as_if_they_were_not_there() {
    let lines = "a=crypto:x\r\na=candidate:\r\na=rtpmap:x\r\na=fingerprint:sha-256 zz\r\na=setup:maybe\r\na=ptime:-1\r\na=ice-ufrag:a\r\n";
    let body = many(lines, 1);
    let description = Sdp::parse(body.as_bytes()).unwrap().describe().unwrap();
    let media = &description.media[0];
    assert!(media.crypto.is_empty() && media.fingerprints.is_empty() && media.ice.candidates.is_empty());
    assert_eq!((media.setup.clone(), media.ptime_ms, media.ice.credentials.clone()), (None, None, None));
    assert_eq!(media.crypto_lines, 1);
}
