//! What users see of ng, media, recordings and call records.

use core::time::Duration;

use super::*;

fn refused(text: &str) -> String {
    match parse("raceway.toml", text) {
        Ok(_) => "accepted".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

fn accepted(text: &str) -> Config {
    parse("raceway.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn warned(text: &str) -> Vec<String> {
    warnings(&accepted(text)).iter().map(ToString::to_string).collect()
}

#[test]
fn proxies_are_heard_on_loopback_unless_configured() {
    let config = Config::default();
    assert_eq!(config.ng.listen, ["127.0.0.1:2223".parse().expect("an address")]);
    assert!(!config.ng.listen_written && config.ng.http_listen.is_none());
    for (address, allowed) in [("127.0.0.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false)] {
        assert_eq!(config.ng.allows(address.parse().expect("an address")), allowed, "{address}");
    }
    assert_eq!(config.media.port_range, Some(PortRange { first: 30000, last: 39999 }));
    assert_eq!(
        (config.media.timeout, config.media.silent_timeout),
        (Duration::from_secs(60), Duration::from_secs(3600))
    );
    assert_eq!(warnings(&config), []);
    assert!(accepted("[ng]\nlisten = []\n").ng.listen.is_empty());
}

#[test]
fn interfaces_have_the_order_of_the_file_and_both_families() {
    let config = accepted(
        r#"
[media.interfaces]
zone = "10.0.0.1"
ext = { address = "10.0.1.1", advertised = "203.0.113.7" }
both = ["10.0.2.1", { address = "2001:db8::1" }]
"#,
    );
    let shown = |i: &MediaInterface| format!("{} {} {}", i.name, i.address, i.advertised);
    let interfaces: Vec<String> = config.media.interfaces.iter().flatten().map(shown).collect();
    assert_eq!(
        interfaces,
        [
            "zone 10.0.0.1 10.0.0.1",
            "ext 10.0.1.1 203.0.113.7",
            "both 10.0.2.1 10.0.2.1",
            "both 2001:db8::1 2001:db8::1"
        ]
    );
}

#[test]
fn an_interface_that_is_wrong_says_how_it_would_be_right() {
    const RIGHT: &str = "write an address, as in \"10.0.0.1\", an address with the one that SDP is to have, as in { address = \
                         \"10.0.0.1\", advertised = \"203.0.113.7\" }, or a list of these";
    for (value, message) in [
        ("3", format!("\"int\": an integer does not fit here; {RIGHT}")),
        ("[]", format!("\"int\": an empty list; {RIGHT}")),
        ("\"10.0.0\"", format!("\"int\": \"10.0.0\" is not an IP address; {RIGHT}")),
        ("{ advertised = \"10.0.0.1\" }", format!("\"int\": an interface without an address; {RIGHT}")),
        ("{ addres = \"10.0.0.1\" }", "\"int\": \"addres\" is not known here; known here: address, advertised".to_owned()),
        (
            "{ address = \"10.0.0.1\", advertised = \"2001:db8::1\" }",
            "\"int\": \"10.0.0.1\" and \"2001:db8::1\" are of different families; write two IPv4 or two IPv6 addresses"
                .to_owned(),
        ),
        (
            "[\"10.0.0.1\", \"10.0.0.2\"]",
            "\"int\": \"10.0.0.1\" and \"10.0.0.2\" are of one family; write one IPv4 and one IPv6 address at most, and \
             others under other names"
                .to_owned(),
        ),
    ] {
        let told = refused(&format!("[media]\ninterfaces = {{ int = {value} }}\n"));
        assert_eq!(told, format!("raceway.toml:2: media.interfaces.{message}"));
    }
    assert!(refused("[media]\ninterfaces = {}\n").contains("an empty table"));
    assert!(refused("[media.interfaces]\n\"a b\" = \"10.0.0.1\"\n").contains("cannot be said in a command"));
}

#[test]
fn ports_of_media_are_nobody_elses() {
    assert_eq!(
        refused("[turn]\nport_range = \"30000-40000\"\n[media]\nport_range = \"39999-45000\"\n"),
        "raceway.toml:4: media.port_range: ports 39999-45000 overlap those of relayed addresses, 30000-40000 \
         (turn.port_range); move one of them"
    );
    assert_eq!(
        refused(
            "[media]\nport_range = \"2000-4000\"\n[ng]\nlisten = [\"127.0.0.1:2223\"]\n[turn]\nlisten = [\"127.0.0.1:3478\"]\n"
        ),
        "raceway.toml:4: ng.listen[0]: port 2223 of \"127.0.0.1:2223\" lies inside the ports of media, 2000-4000; move one \
         of them\n\
         raceway.toml:6: turn.listen[0]: port 3478 of \"127.0.0.1:3478\" lies inside the ports of media, 2000-4000; move one \
         of them"
    );
    assert_eq!(
        refused("[media]\nport_range = \"9000-9999\"\n"),
        "raceway.toml:2: media.port_range: port 9640 of \"127.0.0.1:9640\" lies inside the ports of media, 9000-9999; move \
         one of them"
    );
    assert_eq!(
        refused("[media]\nport_range = \"30001-30002\"\n"),
        "raceway.toml:2: media.port_range: 30001-30002 has no room for a stream; write more: RTP takes an even port and RTCP the next"
    );
    assert_eq!(
        refused("[ng]\nlisten = [\"127.0.0.1:50000\"]\nhttp_listen = \"127.0.0.1:9640\"\n"),
        "raceway.toml:2: ng.listen[0]: port 50000 of \"127.0.0.1:50000\" lies inside the relayed ports 49152-65535; move one \
         of them\n\
         raceway.toml:3: ng.http_listen: \"127.0.0.1:9640\" is in http.listen too; move one of them"
    );
    assert!(
        refused("[ng]\nlisten = [\"127.0.0.1:2224\"]\nhttp_listen = \"127.0.0.1:2224\"\n").contains("in ng.listen too")
    );
}

#[test]
fn media_makes_way_for_relayed_ports_unless_it_has_its_own() {
    let ports = |turn: &str| {
        let config = accepted(&format!("[turn]\nport_range = \"{turn}\"\n"));
        config.media.port_range.map_or_else(|| "none".to_owned(), |range| range.to_string())
    };
    assert_eq!(ports("40000-65535"), "30000-39999");
    assert_eq!(ports("35000-65535"), "30000-34999");
    assert_eq!(ports("10000-35000"), "35001-39999");
    assert_eq!(ports("31000-32000"), "32001-39999");
    assert_eq!(ports("10000-65535"), "none");
    assert_eq!(
        warned("[turn]\nport_range = \"10000-65535\"\n"),
        [
            "default: media.port_range: turn.port_range, 10000-65535, leaves no ports for media: calls are refused; write ports \
          for each"
        ]
    );
}

#[test]
fn whoever_can_direct_calls_is_named_in_a_warning() {
    assert_eq!(
        warned("[ng]\nlisten = [\"10.0.0.1:2223\"]\n"),
        [
            "raceway.toml:2: ng.listen[0]: \"10.0.0.1:2223\" is reachable from other machines, none of which ng.allow answers; \
          name the proxies in ng.allow"
        ]
    );
    assert_eq!(
        warned("[ng]\nhttp_listen = \"0.0.0.0:2225\"\nallow = [\"127.0.0.1\", \"10.0.0.0/8\"]\n"),
        [
            "raceway.toml:2: ng.http_listen: \"0.0.0.0:2225\" is reachable from other machines: whoever is in 10.0.0.0/8 can \
          direct, block and end every call, without a password and in clear; listen on loopback, or on an address of a \
          network that only proxies are on"
        ]
    );
    let everybody = warned("[ng]\nlisten = [\"[::]:2223\"]\nallow = [\"::/0\"]\n");
    assert_eq!(
        everybody.last().map(String::as_str),
        Some("raceway.toml:3: ng.allow[0]: \"::/0\" is everybody; name the proxies")
    );
    assert_eq!(warned("[ng]\nallow = [\"0.0.0.0/0\"]\n"), <[String; 0]>::default(), "loopback alone listens");
}

const KEY: &str = "age1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5z5tpwxqergd3c8g7rusqmwn7f2";

#[test]
fn a_recording_needs_a_key_whose_other_half_is_elsewhere() {
    let config = accepted(&format!("[recording]\ndirectory = \"/var/lib/raceway/calls\"\npublic_key = \"{KEY}\"\n"));
    assert_eq!(config.recording.public_key.map(|key| (key[0], key[31])), Some((1, 32)));
    assert_eq!((config.recording.max_mb, config.recording.keep_free_mb), (1024, 1024));
    assert_eq!(
        refused("[recording]\ndirectory = \"/var/lib/raceway/calls\"\n"),
        "raceway.toml:2: recording.directory: recordings are encrypted, and no key is configured; write the public_key that \
         they are encrypted for, whose private half is kept elsewhere"
    );
    assert!(refused(&format!("[recording]\npublic_key = \"{KEY}\"\n")).contains("a key without a directory"));
    let typo = KEY.replace("qypq", "qypp");
    let other = "bge1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5z5tpwxqergd3c8g7rusqckya64";
    let short = "age1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5z5tpwxqergd3c8g7ru28p0lr";
    let secret = "AGE-SECRET-KEY-1M9PFZAQY590QYFHLH075RSEP8XQMP5X7F2MY37HUVECCYDS0C8SQG870ZP";
    let unread = "not a public key of age, or a letter of it is wrong";
    for (key, what) in [
        ("AAAA", unread),
        (&typo, unread),
        (other, "not an X25519 public key of age"),
        (short, "not an X25519 public key of age"),
        (secret, "this is the secret key, which does not belong on this machine"),
    ] {
        let told = refused(&format!("[recording]\ndirectory = \"/a\"\npublic_key = \"{key}\"\n"));
        let expected = format!("raceway.toml:3: recording.public_key: {what}; write what `age-keygen");
        assert!(told.starts_with(&expected) && !told.contains(key), "{told}");
    }
    assert!(refused("[recording]\nmax_mb = 0\n").contains("recording.max_mb"));
}

#[test]
fn hold_ends_no_call_sooner_than_silence_does() {
    assert_eq!(
        refused("[media]\ntimeout_s = 60\nsilent_timeout_s = 30\n"),
        "raceway.toml:3: media.silent_timeout_s: a call on hold would end after 30 s, before one that is not, after 60 s; \
         write a silent_timeout_s of at least timeout_s"
    );
}

#[test]
fn a_change_of_media_says_when_it_takes_effect() {
    let new = accepted(&format!(
        "[ng]\nlisten = [\"127.0.0.1:2224\"]\nhttp_listen = \"127.0.0.1:2225\"\nallow = [\"127.0.0.1\"]\n\
         [media]\ninterfaces = {{ int = \"10.0.0.1\", ext = {{ address = \"10.0.1.1\", advertised = \"203.0.113.7\" }} }}\n\
         port_range = \"20000-29999\"\ntimeout_s = 30\nsilent_timeout_s = 600\n\
         [recording]\ndirectory = \"/a\"\npublic_key = \"{KEY}\"\nmax_mb = 10\nkeep_free_mb = 0\n\
         [cdr]\nfile = \"/b\"\nretention_days = 7\nredact = true\n"
    ));
    let changes: Vec<String> = diff(&Config::default(), &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "ng.listen: [127.0.0.1:2223] -> [127.0.0.1:2224] (needs a restart of raceway-control)",
            "ng.http_listen: off -> 127.0.0.1:2225 (needs a restart of raceway-control)",
            "ng.allow: [127.0.0.0/8, ::1/128] -> [127.0.0.1/32] (applied)",
            "media.interfaces: default -> [int = 10.0.0.1, ext = 10.0.1.1 as 203.0.113.7] (applied to new calls)",
            "media.port_range: 30000-39999 -> 20000-29999 (applied to new calls)",
            "media.timeout_s: 60 -> 30 (applied)",
            "media.silent_timeout_s: 3600 -> 600 (applied)",
            "recording.directory: default -> /a (needs a restart of raceway-relay)",
            "recording.public_key: none -> age1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5z5tpwxqergd3c8g7rusqmwn7f2 (needs a restart of \
             raceway-relay)",
            "recording.max_mb: 1024 -> 10 (needs a restart of raceway-relay)",
            "recording.keep_free_mb: 1024 -> 0 (needs a restart of raceway-relay)",
            "cdr.file: default -> /b (applied)",
            "cdr.retention_days: 30 -> 7 (applied)",
            "cdr.redact: false -> true (applied)",
        ]
    );
}

#[test]
fn what_happens_to_calls_is_told_where_the_file_says() {
    let config = Config::default();
    assert_eq!((config.ng.dtmf_log_dest, config.ng.notify, config.ng.https), (None, None, None));
    assert_eq!(config.ng.notify_of, [Notice::Timeout, Notice::OneWay, Notice::NoKeys]);
    let url = |text: &str| accepted(&format!("[ng]\nnotify = \"{text}\"\n")).ng.notify.expect("a URL").to_string();
    for (written, meant) in [
        ("http://127.0.0.1:8090/calls?x=1", "http://127.0.0.1:8090/calls?x=1"),
        ("http://example.org", "http://example.org:80/"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443/"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ] {
        assert_eq!(url(written), meant);
    }
    for wrong in ["ftp://a/", "http://", "http://a:0/", "http://a:b/", "http://a b/", "http://a/\u{e9}", "http://u@a/"]
    {
        let told = refused(&format!("[ng]\nnotify = \"{wrong}\"\n"));
        assert!(told.starts_with("raceway.toml:2: ng.notify:"), "{wrong}: {told}");
    }
    for wrong in ["0.0.0.0:1", "127.0.0.1:0", "localhost:2333", "239.1.1.1:5"] {
        let told = refused(&format!("[ng]\ndtmf_log_dest = \"{wrong}\"\n"));
        assert!(told.starts_with("raceway.toml:2: ng.dtmf_log_dest:"), "{wrong}: {told}");
    }
    assert!(refused("[ng]\nnotify_of = [\"deleted\"]\n").contains("\"deleted\" is not told of calls"));
}

#[test]
fn https_wants_a_certificate_and_its_key() {
    let told = refused("[ng]\nhttps_listen = \"127.0.0.1:2226\"\nhttps_key = \"/k\"\n");
    assert!(told.contains("raceway.toml:2: ng.https_listen: TLS without ng.https_certificate"), "{told}");
    let text = "[ng]\nhttp_listen = \"127.0.0.1:2226\"\nhttps_listen = \"127.0.0.1:2226\"\n\
        https_certificate = \"/c\"\nhttps_key = \"/k\"\n";
    assert!(refused(text).contains("ng.http_listen"), "{}", refused(text));
    let https = accepted(&text.replacen("2226", "2225", 1)).ng.https.expect("TLS");
    assert_eq!((https.listen.port(), https.key.to_str()), (2226, Some("/k")));
}
