//! `[ng]`, `[media]`, `[recording]` and `[cdr]` compared with each other and with the rest.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::check::refuse_twice;
use crate::config::{Config, Http, PortRange, Turn};
use crate::media::{Cdr, Https, Media, MediaInterface, Ng, Notice, Recording};
use crate::problem::Problem;
use crate::raw_media::RawMedia;
use crate::reader::Reader;

const NG: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2223);

const PORTS: PortRange = PortRange { first: 30000, last: 39999 };

/// Makes the four sections.
pub(crate) fn check(reader: &mut Reader, raw: RawMedia, turn: &Turn, http: &Http) -> (Ng, Media, Recording, Cdr) {
    let ng = Ng {
        listen_written: raw.ng_listen.is_some(),
        listen: raw.ng_listen.unwrap_or_else(|| vec![NG]),
        http_listen: raw.ng_http_listen.flatten(),
        https: https(reader, raw.ng_https_listen.flatten(), raw.ng_https_certificate, raw.ng_https_key),
        allow: raw.ng_allow.unwrap_or_else(loopback),
        dtmf_log_dest: raw.ng_dtmf_log_dest.flatten(),
        notify: raw.ng_notify.flatten(),
        notify_of: raw.ng_notify_of.unwrap_or_else(|| vec![Notice::Timeout, Notice::OneWay, Notice::NoKeys]),
    };
    refuse_twice(reader, "ng.listen", &ng.listen, |address| format!("\"{address}\""));
    refuse_twice(reader, "ng.allow", &ng.allow, |net| format!("\"{net}\""));
    if let Some(range) = raw.port_range {
        check_ports(reader, range, turn, http, &ng);
    }
    check_ng_ports(reader, &ng, turn, http);
    let seconds = |value: Option<u32>, default| Duration::from_secs(value.unwrap_or(default).into());
    let media = Media {
        interfaces: interfaces(reader, raw.interfaces),
        port_range: raw.port_range.or_else(|| outside(PORTS, turn.port_range)),
        timeout: seconds(raw.timeout_s, 60),
        silent_timeout: seconds(raw.silent_timeout_s, 3600),
    };
    if media.silent_timeout < media.timeout {
        let key = if raw.silent_timeout_s.is_some() { "media.silent_timeout_s" } else { "media.timeout_s" };
        let (silent, timeout) = (media.silent_timeout.as_secs(), media.timeout.as_secs());
        let what = format!("a call on hold would end after {silent} s, before one that is not, after {timeout} s");
        reader.refuse(key, what, "write a silent_timeout_s of at least timeout_s");
    }
    let recording = Recording {
        directory: raw.recording_directory,
        public_key: raw.recording_public_key,
        max_mb: raw.recording_max_mb.unwrap_or(1024),
        keep_free_mb: raw.recording_keep_free_mb.unwrap_or(1024),
    };
    let cdr = Cdr {
        file: raw.cdr_file,
        retention_days: raw.cdr_retention_days.unwrap_or(30),
        redact: raw.cdr_redact.unwrap_or(false),
    };
    (ng, media, check_recording(reader, recording), cdr)
}

/// All three, or no listener.
fn https(
    reader: &mut Reader,
    listen: Option<SocketAddr>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<Https> {
    let listen = listen?;
    for (name, path) in [("ng.https_certificate", &certificate), ("ng.https_key", &key)] {
        if path.is_none() && reader.origin.line(name).is_none() {
            let right =
                "write https_certificate and https_key, PEM files with the certificate chain and its private key";
            reader.refuse("ng.https_listen", format!("TLS without {name}"), right);
        }
    }
    Some(Https { listen, certificate: certificate?, key: key? })
}

fn loopback() -> Vec<IpNet> {
    let v4 = Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).expect("a prefix of at most 32 bits");
    let v6 = Ipv6Net::new(Ipv6Addr::LOCALHOST, 128).expect("a prefix of at most 128 bits");
    vec![v4.into(), v6.into()]
}

/// Whether RTP finds an even port and RTCP the next.
fn has_pair(range: PortRange) -> bool {
    u32::from(range.last) > u32::from(range.first).next_multiple_of(2)
}

/// What of `range` is not in `taken`: the larger side, if that has a pair of ports.
fn outside(range: PortRange, taken: PortRange) -> Option<PortRange> {
    if taken.last < range.first || range.last < taken.first {
        return Some(range);
    }
    let below = PortRange { first: range.first, last: taken.first.saturating_sub(1) };
    let above = PortRange { first: taken.last.saturating_add(1), last: range.last };
    let ports = |range: &PortRange| i32::from(range.last) - i32::from(range.first);
    [below, above].into_iter().max_by_key(ports).filter(|range| has_pair(*range))
}

fn interfaces(reader: &mut Reader, raw: Option<Vec<(String, Vec<MediaInterface>)>>) -> Option<Vec<MediaInterface>> {
    let raw = raw?;
    if raw.is_empty() {
        let right =
            "name at least one, as in { int = \"10.0.0.1\" }, or leave the key out to use the machine's addresses";
        reader.refuse("media.interfaces", "an empty table", right);
    }
    Some(raw.into_iter().flat_map(|(_, addresses)| addresses).collect())
}

/// Where `key` stands, or the other key that it collides with, if only that was written.
fn written<'k>(reader: &Reader, key: &'k str, other: &'k str) -> &'k str {
    if reader.origin.line(key).is_some() { key } else { other }
}

fn check_ports(reader: &mut Reader, range: PortRange, turn: &Turn, http: &Http, ng: &Ng) {
    let key = "media.port_range";
    let relayed = turn.port_range;
    if range.first <= relayed.last && relayed.first <= range.last {
        let what = format!("ports {range} overlap those of relayed addresses, {relayed} (turn.port_range)");
        reader.refuse(key, what, "move one of them");
    }
    if !has_pair(range) {
        let right = "write more: RTP takes an even port and RTCP the next";
        reader.refuse(key, format!("{range} has no room for a stream"), right);
    }
    let turn = turn.listen.iter().enumerate().map(|(index, address)| (format!("turn.listen[{index}]"), *address));
    let own = ng.listen.iter().enumerate().map(|(index, address)| (format!("ng.listen[{index}]"), *address));
    let http = http.listen.map(|address| ("http.listen".to_owned(), address));
    let ng_http = ng.http_listen.map(|address| ("ng.http_listen".to_owned(), address));
    let ng_https = ng.https.iter().map(|https| ("ng.https_listen".to_owned(), https.listen));
    for (listed, address) in
        turn.chain(own).chain(http).chain(ng_http).chain(ng_https).filter(|(_, a)| range.contains(a.port()))
    {
        let what = format!("port {} of \"{address}\" lies inside the ports of media, {range}", address.port());
        let key = written(reader, &listed, key).to_owned();
        reader.refuse(&key, what, "move one of them");
    }
}

/// ng has ports of its own.
fn check_ng_ports(reader: &mut Reader, ng: &Ng, turn: &Turn, http: &Http) {
    let range = turn.port_range;
    let listed = ng.listen.iter().enumerate().map(|(index, address)| (format!("ng.listen[{index}]"), *address));
    let all = listed.chain(ng.http_listen.map(|address| ("ng.http_listen".to_owned(), address)));
    let all = all.chain(ng.https.iter().map(|https| ("ng.https_listen".to_owned(), https.listen)));
    for (key, address) in all.filter(|(key, _)| reader.origin.line(key).is_some()).collect::<Vec<_>>() {
        if range.contains(address.port()) {
            let what = format!("port {} of \"{address}\" lies inside the relayed ports {range}", address.port());
            reader.refuse(&key, what, "move one of them");
        }
        let same = |other: &SocketAddr| *other == address;
        let (tcp, udp) = (http.listen.as_ref().is_some_and(same), turn.listen.iter().any(same));
        let is_http = key == "ng.https_listen" && ng.http_listen.as_ref().is_some_and(same);
        let own = key.starts_with("ng.http") && (is_http || ng.listen.iter().any(same));
        let other = if tcp {
            "http.listen"
        } else if is_http {
            "ng.http_listen"
        } else if own {
            "ng.listen"
        } else {
            "turn.listen"
        };
        if tcp || udp || own {
            reader.refuse(&key, format!("\"{address}\" is in {other} too"), "move one of them");
        }
    }
}

fn check_recording(reader: &mut Reader, recording: Recording) -> Recording {
    match (&recording.directory, &recording.public_key) {
        (Some(_), None) if reader.origin.line("recording.public_key").is_none() => reader.refuse(
            "recording.directory",
            "recordings are encrypted, and no key is configured",
            "write the public_key that they are encrypted for, whose private half is kept elsewhere",
        ),
        (None, Some(_)) if reader.origin.line("recording.directory").is_none() => {
            reader.refuse("recording.public_key", "a key without a directory", "write the directory of recordings");
        }
        _ => {}
    }
    recording
}

/// What is allowed and should be known.
pub(crate) fn warnings(config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let ng = &config.ng;
    let listed = ng.listen.iter().enumerate().map(|(index, address)| (format!("ng.listen[{index}]"), *address));
    let all = listed.chain(ng.http_listen.map(|address| ("ng.http_listen".to_owned(), address)));
    let all = all.chain(ng.https.iter().map(|https| ("ng.https_listen".to_owned(), https.listen)));
    let wide = all.filter(|(_, address)| !address.ip().is_loopback()).collect::<Vec<_>>();
    let strangers: Vec<String> =
        ng.allow.iter().filter(|net| !net.addr().is_loopback()).map(ToString::to_string).collect();
    for (key, address) in &wide {
        let (what, right) = if strangers.is_empty() {
            (
                "is reachable from other machines, none of which ng.allow answers".to_owned(),
                "name the proxies in ng.allow",
            )
        } else {
            let clear = if key == "ng.https_listen" { "" } else { " and in clear" };
            let what = format!(
                "is reachable from other machines: whoever is in {} can direct, block and end every call, without a password\
                 {clear}",
                strangers.join(", ")
            );
            (what, "listen on loopback, or on an address of a network that only proxies are on")
        };
        warnings.push(config.origin.problem(key, format!("\"{address}\" {what}"), right));
    }
    for (index, net) in ng.allow.iter().enumerate().filter(|(_, net)| net.prefix_len() == 0 && !wide.is_empty()) {
        let what = format!("\"{net}\" is everybody");
        warnings.push(config.origin.problem(&format!("ng.allow[{index}]"), what, "name the proxies"));
    }
    if config.media.port_range.is_none() {
        let what = format!("turn.port_range, {}, leaves no ports for media: calls are refused", config.turn.port_range);
        warnings.push(config.origin.problem("media.port_range", what, "write ports for each"));
    }
    warnings
}
