//! What users see.

use core::time::Duration;

use super::*;

/// Messages for a file called `raceway.toml`, one a line.
fn refused(text: &str) -> String {
    match parse("raceway.toml", text) {
        Ok(_) => "accepted".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = Config::default();
    let listen: Vec<String> = config.turn.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:3478", "[::]:3478"]);
    assert_eq!(config.turn.port_range, PortRange { first: 49152, last: 65535 });
    assert_eq!(config.turn.lifetime_default, Duration::from_secs(600));
    assert_eq!(config.http.listen.map(|l| l.to_string()).as_deref(), Some("127.0.0.1:9640"));
    assert_eq!(config.relay.flows_max, 65536);
}

#[test]
fn a_slip_in_a_key_is_pointed_out() {
    assert_eq!(
        refused("[turn]\n\nlisen = [\"192.0.2.1:3478\"]\n[trun]\nrealm = \"a\"\n"),
        "raceway.toml:3: turn.lisen: unknown key; did you mean \"listen\"?\n\
         raceway.toml:4: trun: unknown key; did you mean \"turn\"?"
    );
    assert_eq!(
        refused("[log]\ncertificate = 1\n"),
        "raceway.toml:2: log.certificate: unknown key; known here: level, format, redact"
    );
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[relay]
xdp = "fast"
flows_max = 1
workers = [0, 0, -1]
[turn]
listen = ["192.0.2.1", "192.0.2.1:0", 3478]
port_range = "65535-49152"
relay_addresses = ["0.0.0.0", "fe80::1", "::ffff:192.0.2.1", "224.0.0.1"]
lifetime_max_s = 60
"#;
    let told = [
        r#"3: relay.xdp: "fast" is not one of the choices; write "auto", "native", "generic" or "off""#,
        "4: relay.flows_max: 1 is out of range; write a whole number of flows from 64 to 4194304",
        "5: relay.workers[2]: -1 is out of range; write a whole number of a core from 0 to 65535",
        r#"7: turn.listen[0]: "192.0.2.1" is not address:port; write address:port, as in "192.0.2.1:3478" or "[2001:db8::1]:3478""#,
        r#"7: turn.listen[1]: "192.0.2.1:0" has port 0; write a port from 1 to 65535"#,
        r#"7: turn.listen[2]: an integer does not fit here; write address:port, as in "192.0.2.1:3478" or "[2001:db8::1]:3478""#,
        r#"8: turn.port_range: "65535-49152" ends before it begins; write first-last, as in "49152-65535""#,
        r#"9: turn.relay_addresses[0]: "0.0.0.0" is a wildcard; write one concrete address: peers see it as the source of what is relayed"#,
        r#"9: turn.relay_addresses[1]: "fe80::1" is a link-local address, which means nothing without its interface; write a global or unique local address"#,
        r#"9: turn.relay_addresses[2]: "::ffff:192.0.2.1" is IPv4 in IPv6 form; write "192.0.2.1" in its place"#,
        r#"9: turn.relay_addresses[3]: "224.0.0.1" is not a unicast address; write an address of this machine"#,
        "10: turn.lifetime_max_s: the longest lifetime, 60 s, is below the default one, 600 s; write a lifetime_max_s of at least lifetime_default_s",
    ];
    let told: Vec<String> = told.iter().map(|line| format!("raceway.toml:{line}")).collect();
    assert_eq!(refused(text), told.join("\n"));
}

#[test]
fn ports_must_not_overlap() {
    assert_eq!(
        refused("[turn]\nlisten = [\"192.0.2.1:3478\"]\nport_range = \"3000-9639\"\n"),
        "raceway.toml:2: turn.listen[0]: port 3478 of \"192.0.2.1:3478\" lies inside the relayed ports 3000-9639; \
         move one of them"
    );
    assert_eq!(
        refused("[turn]\nport_range = \"9000-9999\"\n"),
        "raceway.toml:2: turn.port_range: port 9640 of \"127.0.0.1:9640\" lies inside the relayed ports 9000-9999; \
         move one of them"
    );
    assert_eq!(
        refused("[turn]\nlisten = [\"127.0.0.1:80\"]\n[http]\nlisten = \"127.0.0.1:80\"\n"),
        "raceway.toml:4: http.listen: \"127.0.0.1:80\" is in turn.listen too; move one of them"
    );
}

#[test]
fn what_stands_twice_is_refused() {
    let text = r#"
[relay]
interfaces = ["eth0", "eth0"]
workers = [1, 1]
[turn]
listen = ["192.0.2.1:3478", "0.0.0.0:3478", "[::]:3478", "[::]:3478"]
relay_addresses = ["192.0.2.1", "192.0.2.1"]
[turn.auth]
shared_secrets = ["a", "a"]
[turn.policy]
allow_peers = ["10.0.0.0/8"]
deny_peers = ["10.0.0.0/8", "10.0.0.1", "10.0.0.1/32"]
"#;
    let told = [
        r#"3: relay.interfaces[1]: "eth0" stands here twice; name it once"#,
        "4: relay.workers[1]: core 1 stands here twice; name it once",
        r#"6: turn.listen[3]: "[::]:3478" stands here twice; name it once"#,
        r#"6: turn.listen[0]: "192.0.2.1:3478" is already part of "0.0.0.0:3478"; name the wildcard or the addresses, not both"#,
        r#"7: turn.relay_addresses[1]: "192.0.2.1" stands here twice; name it once"#,
        "9: turn.auth.shared_secrets[1]: the same secret stands here twice; name it once",
        r#"11: turn.policy.allow_peers[0]: "10.0.0.0/8" is in deny_peers too; name it in one of the two"#,
        r#"12: turn.policy.deny_peers[2]: "10.0.0.1/32" stands here twice; name it once"#,
    ];
    let told: Vec<String> = told.iter().map(|line| format!("raceway.toml:{line}")).collect();
    assert_eq!(refused(text), told.join("\n"));
}

#[test]
fn external_addresses_belong_to_relay_addresses_of_their_family() {
    let text = r#"
[turn]
relay_addresses = ["10.0.0.1"]
[turn.external_addresses]
"10.0.0.2" = "203.0.113.7"
"2001:db8::1" = "2001:db8::2"
"#;
    assert_eq!(
        refused(text),
        r#"raceway.toml:5: turn.external_addresses."10.0.0.2": "10.0.0.2" is not one of relay_addresses; add it there or remove it here
raceway.toml:6: turn.external_addresses."2001:db8::1": there is no IPv6 address among relay_addresses; add an IPv6 address to relay_addresses or remove this one"#
    );
    assert_eq!(
        refused("[turn]\nexternal_addresses = { \"10.0.0.2\" = \"2001:db8::2\" }\n"),
        "raceway.toml:2: turn.external_addresses.\"10.0.0.2\": \"10.0.0.2\" and \"2001:db8::2\" are of different \
         families; write two IPv4 or two IPv6 addresses"
    );
    assert_eq!(
        refused("[turn.external_addresses]\n\"10.0.0.1\" = \"203.0.113.7\"\n\"10.0.0.2\" = \"203.0.113.7\"\n"),
        "raceway.toml:3: turn.external_addresses.\"10.0.0.2\": \"203.0.113.7\" is already the external address of \
         \"10.0.0.1\"; give each internal address its own external one"
    );
}

#[test]
fn no_message_shows_a_secret() {
    for text in [
        "[turn.auth]\nusers = { alice = 31337 }\n",
        "[turn.auth]\nusers = { alice = \"0x31337\" }\n",
        "[turn.auth]\nusers = { alice = [\"31337\"] }\n",
        "[turn.auth]\nusers = \"31337\"\n",
        "[turn.auth]\nshared_secrets = \"31337\"\n",
        "[turn.auth]\nshared_secrets = [31337]\n",
        "[turn.auth]\nshared_secrets = [\"31337\", \"31337\"]\n",
        "[turn.auth]\nshared_secrets = [\"31337]\n",
        "[turn.auth]\nusers = { alice = 31337\n",
        "[turn.auth]\nusers = { alice = 31337z }\n",
    ] {
        let message = refused(text);
        assert!(message.starts_with("raceway.toml:2: "), "{message}");
        assert!(!message.contains("31337"), "{message}");
    }
    let config = parse("", "[turn.auth]\nusers = { alice = \"31337\" }\nshared_secrets = [\"31337\"]\n");
    assert!(!format!("{config:?}").contains("31337"));
}

#[test]
fn a_key_without_its_realm_is_refused() {
    assert_eq!(
        refused("[turn.auth.users]\nalice = \"0x000102030405060708090a0b0c0d0e0f\"\n"),
        "raceway.toml:2: turn.auth.users.\"alice\": a key holds for one realm only, and none is configured; write the \
         realm that the key was made with: [turn] realm = \"example.org\""
    );
}

#[test]
fn a_syntax_error_names_its_line() {
    assert_eq!(
        refused("[turn]\nrealm = \n"),
        "raceway.toml:2: not valid TOML: string values must be quoted, expected literal string"
    );
    assert_eq!(refused("[log]\nlevel = \"info\"\nlevel = \"warn\"\n"), "raceway.toml:3: not valid TOML: duplicate key");
}

#[test]
fn a_change_says_when_it_takes_effect() {
    let old = parse("", "[turn.auth]\nusers = { alice = \"a\" }\n").expect("valid");
    let text = r#"
[relay]
interfaces = ["eth0"]
xdp = "off"
workers = [2, 3]
[turn]
listen = ["0.0.0.0:3478", "[::]:3478", "0.0.0.0:3479"]
port_range = "50000-60000"
[turn.auth]
users = { alice = "b", bob = "c" }
[turn.policy]
quota_per_user = 3
flows_per_user = 9
bits_per_second_per_allocation = 64000
deny_peers = ["192.0.2.0/24"]
"#;
    let new = parse("", text).expect("valid");
    let changes: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "relay.interfaces: auto -> [eth0] (needs a restart of raceway-relay)",
            "relay.xdp: auto -> off (needs a restart of raceway-relay)",
            "relay.workers: auto -> [2, 3] (needs a restart of raceway-relay)",
            "turn.listen: [0.0.0.0:3478, [::]:3478] -> [0.0.0.0:3478, [::]:3478, 0.0.0.0:3479] (applied)",
            "turn.port_range: 49152-65535 -> 50000-60000 (needs a restart of raceway-control)",
            "turn.auth.users: 1 user -> 2 users (applied)",
            "turn.policy.deny_peers: [] -> [192.0.2.0/24] (applied)",
            "turn.policy.quota_per_user: default -> 3 (applied)",
            "turn.policy.flows_per_user: default -> 9 (applied)",
            "turn.policy.bits_per_second_per_allocation: 0 -> 64000 (applied)",
        ]
    );
    assert_eq!(diff(&new, &new), []);
}

#[test]
fn a_secret_that_changes_is_told_to_have_changed_and_not_shown() {
    let with =
        |password: &str| parse("", &format!("[turn.auth]\nusers = {{ alice = \"{password}\" }}")).expect("valid");
    let changes = diff(&with("31337"), &with("31338"));
    assert_eq!(changes.first().map(ToString::to_string).as_deref(), Some("turn.auth.users: 1 user, changed (applied)"));
}

#[test]
fn a_limit_of_flows_is_a_number_of_flows() {
    let message = refused("[turn.policy]\nflows_per_user = 4194305\n");
    assert!(message.contains("turn.policy.flows_per_user: 4194305 is out of range"), "{message}");
}

const EXAMPLE: &str = include_str!("../../../docs/raceway.toml");

/// The example with the options that have no fixed default switched on.
fn example_in_full() -> String {
    let is_option = |line: &str| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# ");
    let lines = EXAMPLE.lines().map(|line| if is_option(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_says_the_defaults() {
    let example = parse("docs/raceway.toml", EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(diff(&Config::default(), &example), []);
}

#[test]
fn the_example_has_every_option() {
    let full = example_in_full();
    let config = parse("docs/raceway.toml", &full).unwrap_or_else(|problems| panic!("{problems}"));
    for section in
        ["node", "relay", "turn", "turn.auth", "turn.policy", "http", "ng", "media", "recording", "cdr", "log"]
    {
        let message = refused(&format!("[{section}]\nzzzzzzzzzzzz = 1\n"));
        let (_, known) = message.split_once("known here: ").expect("the message lists the keys");
        for key in known.split(", ") {
            assert!(config.origin.line(&format!("{section}.{key}")).is_some(), "{section}.{key} is not in the example");
        }
    }
}

#[test]
fn no_text_breaks_the_reader() {
    let example = example_in_full();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..2_000 {
        let mut text = example.clone().into_bytes();
        text.truncate(random(text.len()) + 1);
        for _ in 0..random(8) {
            let at = random(text.len());
            const SIGNS: &[u8] = b"\"[]{}=.#0x-:,\n\\ ";
            text[at] = SIGNS[random(SIGNS.len())];
        }
        fuzz(&text);
    }
}
