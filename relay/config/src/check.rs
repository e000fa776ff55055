//! Compares keys with each other and fills in the defaults.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::check_media;
use crate::config::{
    Auth, Config, Http, Interfaces, Log, LogFormat, LogLevel, Node, Policy, PortRange, Relay, Turn, Workers, Xdp,
};
use crate::limits;
use crate::raw::{RawConfig, RawTurn};
use crate::reader::Reader;
use crate::secret::UserKey;

const LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 3478),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 3478),
];

const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9640);

/// Makes the configuration; right only if `reader` has no problems afterwards.
pub(crate) fn check(reader: &mut Reader, raw: RawConfig) -> Config {
    let relay = Relay {
        interfaces: raw.interfaces.unwrap_or(Interfaces::Auto),
        xdp: raw.xdp.unwrap_or(Xdp::Auto),
        workers: raw.workers.unwrap_or(Workers::Auto),
        flows_max: raw.flows_max.unwrap_or(64 << 10),
        pin_dir: raw.pin_dir.unwrap_or_else(|| "/sys/fs/bpf/raceway".into()),
    };
    check_relay(reader, &relay);
    let turn = turn(reader, raw.turn);
    let http = Http { listen: raw.http_listen.unwrap_or(Some(HTTP)) };
    check_ports(reader, &turn, &http);
    let (ng, media, recording, cdr) = check_media::check(reader, raw.media, &turn, &http);
    Config {
        node: Node { state_dir: raw.state_dir, run_dir: raw.run_dir, user: raw.user },
        relay,
        turn,
        http,
        ng,
        media,
        recording,
        cdr,
        log: Log {
            level: raw.log_level.unwrap_or(LogLevel::Info),
            format: raw.log_format.unwrap_or(LogFormat::Text),
            redact: raw.log_redact.unwrap_or(false),
        },
        origin: reader.origin.clone(),
    }
}

fn turn(reader: &mut Reader, raw: RawTurn) -> Turn {
    let external = raw.external_addresses.unwrap_or_default();
    check_relay_addresses(reader, raw.relay_addresses.as_deref(), &external);
    let lifetime_default_s = raw.lifetime_default_s.unwrap_or(600);
    let lifetime_max_s = raw.lifetime_max_s.unwrap_or(3600);
    if lifetime_max_s < lifetime_default_s {
        let key = if raw.lifetime_max_s.is_some() { "turn.lifetime_max_s" } else { "turn.lifetime_default_s" };
        reader.refuse(
            key,
            format!("the longest lifetime, {lifetime_max_s} s, is below the default one, {lifetime_default_s} s"),
            "write a lifetime_max_s of at least lifetime_default_s",
        );
    }
    let listen = raw.listen.unwrap_or_else(|| LISTEN.to_vec());
    check_listen(reader, &listen);
    let auth = auth(reader, raw.realm.as_deref(), raw.users, raw.shared_secrets.unwrap_or_default());
    let policy = Policy {
        allow_peers: raw.allow_peers.unwrap_or_default(),
        deny_peers: raw.deny_peers.unwrap_or_default(),
        quota_per_user: raw.quota_per_user,
        quota_total: raw.quota_total.unwrap_or(0),
        flows_per_user: raw.flows_per_user,
        bits_per_second_per_allocation: raw.bits_per_second_per_allocation.unwrap_or(0),
        unauthenticated_octets_per_second: raw.unauthenticated_octets_per_second.unwrap_or(32 << 10),
        stun_requests_per_second: raw.stun_requests_per_second.unwrap_or(1_000),
    };
    check_policy(reader, &policy);
    Turn {
        listen,
        realm: raw.realm,
        relay_addresses: raw.relay_addresses,
        external_addresses: external.into_iter().collect(),
        port_range: raw.port_range.unwrap_or(PortRange { first: 49152, last: 65535 }),
        lifetime_default: Duration::from_secs(lifetime_default_s.into()),
        lifetime_max: Duration::from_secs(lifetime_max_s.into()),
        software: raw.software.unwrap_or(false),
        nonce_lifetime: Duration::from_secs(raw.nonce_lifetime_s.unwrap_or(3600).into()),
        auth,
        policy,
    }
}

/// Refuses what is in `list` twice.
pub(crate) fn refuse_twice<T: Ord>(reader: &mut Reader, key: &str, list: &[T], shown: impl Fn(&T) -> String) {
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        if !seen.insert(item) {
            reader.refuse(&format!("{key}[{index}]"), format!("{} stands here twice", shown(item)), "name it once");
        }
    }
}

fn check_relay(reader: &mut Reader, relay: &Relay) {
    match &relay.interfaces {
        Interfaces::Auto => {}
        Interfaces::Named(names) if names.is_empty() => {
            reader.refuse(
                "relay.interfaces",
                "an empty list",
                "name an interface, write \"auto\", or switch XDP off with xdp = \"off\"",
            );
        }
        Interfaces::Named(names) => refuse_twice(reader, "relay.interfaces", names, |name| format!("{name:?}")),
    }
    match &relay.workers {
        Workers::Auto => {}
        Workers::Cores(cores) if cores.is_empty() => {
            reader.refuse("relay.workers", "an empty list", "name a core or write \"auto\"");
        }
        Workers::Cores(cores) => refuse_twice(reader, "relay.workers", cores, |core| format!("core {core}")),
    }
}

fn check_listen(reader: &mut Reader, listen: &[SocketAddr]) {
    let key = "turn.listen";
    if listen.is_empty() {
        reader.refuse(key, "an empty list", "name at least one address, as in [\"0.0.0.0:3478\"]");
    }
    refuse_twice(reader, key, listen, |address| format!("\"{address}\""));
    for (index, address) in listen.iter().enumerate() {
        let wildcard = listen.iter().find(|other| {
            other.ip().is_unspecified()
                && other.is_ipv4() == address.is_ipv4()
                && other.port() == address.port()
                && *other != address
        });
        if let Some(wildcard) = wildcard {
            reader.refuse(
                &format!("{key}[{index}]"),
                format!("\"{address}\" is already part of \"{wildcard}\""),
                "name the wildcard or the addresses, not both",
            );
        }
    }
    let ports: BTreeSet<u16> = listen.iter().map(SocketAddr::port).collect();
    if ports.len() > limits::LISTEN_PORTS_MAX {
        let right = format!("use at most {}", limits::LISTEN_PORTS_MAX);
        reader.refuse(key, format!("{} different ports are too many", ports.len()), right);
    }
}

fn check_relay_addresses(reader: &mut Reader, relay: Option<&[IpAddr]>, external: &[(IpAddr, IpAddr)]) {
    let key = "turn.relay_addresses";
    if let Some(relay) = relay {
        if relay.is_empty() {
            let right = "name at least one address, or leave the key out to use those of the machine";
            reader.refuse(key, "an empty list", right);
        }
        refuse_twice(reader, key, relay, |address| format!("\"{address}\""));
    }
    let mut seen = BTreeMap::new();
    for (internal, external) in external {
        let key = format!("turn.external_addresses.\"{internal}\"");
        if let Some(other) = seen.insert(external, internal) {
            let what = format!("\"{external}\" is already the external address of \"{other}\"");
            reader.refuse(&key, what, "give each internal address its own external one");
        }
        let Some(relay) = relay.filter(|relay| !relay.contains(internal)) else { continue };
        if relay.iter().any(|address| address.is_ipv4() == internal.is_ipv4()) {
            let what = format!("\"{internal}\" is not one of relay_addresses");
            reader.refuse(&key, what, "add it there or remove it here");
        } else {
            let family = if internal.is_ipv4() { "IPv4" } else { "IPv6" };
            let right = format!("add an {family} address to relay_addresses or remove this one");
            reader.refuse(&key, format!("there is no {family} address among relay_addresses"), right);
        }
    }
}

fn auth(
    reader: &mut Reader,
    realm: Option<&str>,
    users: Option<Vec<(String, UserKey)>>,
    shared_secrets: Vec<crate::Secret>,
) -> Auth {
    let users: BTreeMap<_, _> = users.unwrap_or_default().into_iter().collect();
    let keyed = users.iter().find(|(_, key)| matches!(key, UserKey::Ha1(_)));
    if let (None, Some((name, _))) = (realm, keyed) {
        reader.refuse(
            &format!("turn.auth.users.{name:?}"),
            "a key holds for one realm only, and none is configured",
            "write the realm that the key was made with: [turn] realm = \"example.org\"",
        );
    }
    for (index, secret) in shared_secrets.iter().enumerate() {
        if shared_secrets[..index].contains(secret) {
            let key = format!("turn.auth.shared_secrets[{index}]");
            reader.refuse(&key, "the same secret stands here twice", "name it once");
        }
    }
    Auth { users, shared_secrets }
}

fn check_policy(reader: &mut Reader, policy: &Policy) {
    refuse_twice(reader, "turn.policy.allow_peers", &policy.allow_peers, |net| format!("\"{net}\""));
    refuse_twice(reader, "turn.policy.deny_peers", &policy.deny_peers, |net| format!("\"{net}\""));
    for (index, net) in policy.allow_peers.iter().enumerate() {
        if policy.deny_peers.contains(net) {
            let what = format!("\"{net}\" is in deny_peers too");
            reader.refuse(&format!("turn.policy.allow_peers[{index}]"), what, "name it in one of the two");
        }
    }
}

fn check_ports(reader: &mut Reader, turn: &Turn, http: &Http) {
    let range = turn.port_range;
    for (index, address) in turn.listen.iter().enumerate().filter(|(_, a)| range.contains(a.port())) {
        let listed = format!("turn.listen[{index}]");
        let key = if reader.origin.line(&listed).is_some() { listed } else { "turn.port_range".to_owned() };
        let what = format!("port {} of \"{address}\" lies inside the relayed ports {range}", address.port());
        reader.refuse(&key, what, "move one of them");
    }
    if let Some(address) = http.listen.filter(|address| range.contains(address.port())) {
        let key = if reader.origin.line("http.listen").is_some() { "http.listen" } else { "turn.port_range" };
        let what = format!("port {} of \"{address}\" lies inside the relayed ports {range}", address.port());
        reader.refuse(key, what, "move one of them");
    }
    let both = |address: &&SocketAddr| http.listen.is_some_and(|http| **address == http);
    if let Some(address) = turn.listen.iter().find(both) {
        reader.refuse("http.listen", format!("\"{address}\" is in turn.listen too"), "move one of them");
    }
}
