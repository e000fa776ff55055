//! The body that goes on: our addresses, ports and keys in it, everything else as it came.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use raceway_ports::Relayed;
use raceway_sdp::{Crypto, Description, Direction, MID_EXTENSION, MediaSection, Origin, Protocol, Sdp, Section};

use crate::call::Sent;
use crate::ice::IceAgreement;
use crate::options::{AttributeChange, Options, Replace, RtcpAttribute, Scope};

/// What becomes of an m-line.
#[derive(Debug)]
pub(crate) enum Line {
    /// Port 0 (RFC 3264 section 6).
    Refused,
    /// Our port.
    Relayed {
        local: Relayed,
        protocol: Protocol,
        mux: bool,
        mux_only: bool,
        crypto: Vec<Crypto>,
        ice: Option<Box<IceAgreement>>,
        /// Fingerprint and setup.
        dtls: Option<(Box<str>, &'static str)>,
        /// Its identification, where it needs one.
        mid: Option<Box<str>>,
        /// Number of the header extension for it, where that is missing.
        mid_extension: Option<u8>,
        /// It is for the bundle only.
        bundle_only: bool,
    },
}

/// What is to be written, and to whom.
pub(crate) struct Out<'a> {
    pub lines: &'a [Line],
    /// m-lines that share an address.
    pub bundles: &'a [Vec<usize>],
    /// The body before, to the same party.
    pub sent: Option<&'a Sent>,
    pub options: &'a Options,
}

/// Rewrites a body in place; gives what is to be remembered of it.
pub(crate) fn write(sdp: &mut Sdp<'_>, description: &Description, out: &Out<'_>) -> Sent {
    let options = out.options;
    sdp.remove_ice();
    let mid = |index: &usize| match &out.lines[*index] {
        Line::Relayed { mid: Some(mid), .. } => Some(mid.to_string()),
        Line::Relayed { .. } | Line::Refused => None,
    };
    let bundles: Vec<Vec<String>> = out.bundles.iter().map(|group| group.iter().filter_map(mid).collect()).collect();
    sdp.set_bundles(&bundles);
    sdp.session_mut().remove_all(&["fingerprint", "setup", "tls-id"]);
    if out.lines.iter().any(|line| matches!(line, Line::Relayed { ice: Some(ice), .. } if ice.is_lite())) {
        sdp.session_mut().add("ice-lite", None);
    }
    if options.trickle && out.lines.iter().any(|line| matches!(line, Line::Relayed { ice: Some(_), .. })) {
        sdp.session_mut().add("ice-options", Some("trickle"));
    }
    let ours = out.lines.iter().find_map(|line| line.ip(options));
    let all_have_own = sdp.media().iter().all(|media| has_connection(media.section()));
    for (index, line) in out.lines.iter().enumerate() {
        let described = &description.media[index];
        let media = &mut sdp.media_mut()[index];
        match line {
            Line::Refused => media.refuse(),
            Line::Relayed { .. } => relayed(media, described.protocol, line, options),
        }
        let ip = line.ip(options).or(ours);
        let is_ice = described.ice.credentials.is_some() || matches!(line, Line::Relayed { ice: Some(_), .. });
        let is_hold = described.is_zero_address() && !options.replace.zero_address && !is_ice;
        let needs_own = has_connection(media.section()) || ip != ours;
        if let Some(ip) = ip.filter(|_| !is_hold && needs_own) {
            media.section_mut().set_connection(ip);
        }
        if options.generate_mid && !media.section().has("mid") {
            media.section_mut().add("mid", Some(&index.to_string()));
        }
    }
    if let Some(ip) = ours.filter(|_| !all_have_own || options.replace.session_connection) {
        let is_ice = description.media.iter().any(|media| media.ice.credentials.is_some());
        connect(sdp.session_mut(), ip, options.replace.zero_address || is_ice);
    }
    attributes(sdp, description, options);
    session(sdp, ours, out)
}

fn has_connection(section: &Section<'_>) -> bool {
    matches!(section.connection(), Ok(Some(_)))
}

/// Replaces the session's address, if it has one and that is no hold.
fn connect(session: &mut Section<'_>, ip: IpAddr, also_zero: bool) {
    if let Ok(Some(connection)) = session.connection()
        && (also_zero || connection.ip().is_none_or(|ip| !ip.is_unspecified()))
    {
        session.set_connection(ip);
    }
}

impl Line {
    fn ip(&self, options: &Options) -> Option<IpAddr> {
        match self {
            Self::Refused => None,
            Self::Relayed { local, .. } => Some(options.media_address.unwrap_or_else(|| local.external.ip())),
        }
    }
}

fn relayed(media: &mut MediaSection<'_>, before: Protocol, line: &Line, options: &Options) {
    let Line::Relayed { local, protocol, mux, mux_only, crypto, ice, dtls, mid, mid_extension, bundle_only } = line
    else {
        return;
    };
    let port = local.external.port();
    media.set_port(if *bundle_only { 0 } else { port });
    if *protocol != before {
        media.set_protocol(*protocol);
    }
    media.remove_security();
    media.add_crypto(crypto, options.sdes.pad);
    if let Some((fingerprint, setup)) = dtls {
        media.section_mut().add("setup", Some(setup));
        media.section_mut().add("fingerprint", Some(fingerprint));
    }
    media.section_mut().remove_all(&["rtcp-mux-only"]);
    if *bundle_only {
        media.section_mut().set("bundle-only", None);
    } else {
        media.section_mut().remove_all(&["bundle-only"]);
    }
    if let Some(mid) = mid.as_deref().filter(|mid| media.section().attribute("mid").map(str::trim) != Some(*mid)) {
        media.section_mut().set("mid", Some(mid));
    }
    if let Some(number) = mid_extension {
        media.section_mut().add("extmap", Some(&format!("{number} {MID_EXTENSION}")));
    }
    media.set_rtcp_mux(*mux);
    let rtcp = if *mux_only { port } else { local.next().external.port() };
    media.set_rtcp(match options.rtcp_attribute {
        Some(RtcpAttribute::None) => None,
        Some(RtcpAttribute::Full) => Some((rtcp, line.ip(options))),
        None => Some((rtcp, None)),
    });
    if let Some(ice) = ice {
        let rtcp = (!*mux_only).then(|| local.next());
        let candidates = ice.candidates([Some(*local), rtcp], line.ip(options));
        media.add_ice(&ice.ours(), &candidates, true);
    }
    if options.inactive {
        media.set_direction(Direction::Inactive);
    }
}

fn attributes(sdp: &mut Sdp<'_>, description: &Description, options: &Options) {
    for (scope, change) in &options.attributes {
        match scope {
            Scope::Session => apply(sdp.session_mut(), change),
            Scope::EveryMedia => sdp.media_mut().iter_mut().for_each(|media| apply(media.section_mut(), change)),
            Scope::Media(kind) => {
                let media = sdp.media_mut().iter_mut().zip(&description.media);
                let of_kind = media.filter(|(_, media)| media.kind.name().eq_ignore_ascii_case(kind));
                of_kind.for_each(|(media, _)| apply(media.section_mut(), change));
            }
        }
    }
}

fn apply(section: &mut Section<'_>, change: &AttributeChange) {
    match change {
        AttributeChange::Add(text) => {
            let (name, value) = text.split_once(':').map_or((&**text, None), |(name, value)| (name, Some(value)));
            section.add(name, value);
        }
        AttributeChange::Remove(text) => section.remove(|name, value| match text.split_once(':') {
            None => name == text,
            Some((unwanted, rest)) => name == unwanted && value == Some(rest),
        }),
        AttributeChange::Substitute(old, new) => {
            section.substitute(old, new);
        }
    }
}

/// Origin, version and session name.
fn session(sdp: &mut Sdp<'_>, ours: Option<IpAddr>, out: &Out<'_>) -> Sent {
    let (replace, first) = (&out.options.replace, out.sent);
    if let Some(name) = first.and_then(|sent| sent.session_name.as_deref()).filter(|_| replace.session_name) {
        sdp.set_session_name(name);
    }
    let mut origin = sdp.origin();
    if let Some(origin) = &mut origin {
        replace_origin(origin, first.and_then(|sent| sent.origin.as_ref()), ours, replace);
        sdp.set_origin(origin);
    }
    let fingerprint = fingerprint(sdp);
    let version = match first {
        Some(sent) if replace.force_increment_version => sent.version.wrapping_add(1),
        Some(sent) if replace.sdp_version => sent.version.wrapping_add((sent.fingerprint != fingerprint).into()),
        _ => origin.as_ref().and_then(Origin::version).unwrap_or(0),
    };
    if let Some(origin) = origin.as_mut().filter(|_| replace.force_increment_version || replace.sdp_version) {
        origin.version = version.to_string();
        sdp.set_origin(origin);
    }
    let session_name = first.map_or_else(|| sdp.session_name().map(str::to_owned), |sent| sent.session_name.clone());
    Sent { origin: first.map_or(origin, |sent| sent.origin.clone()), session_name, version, fingerprint }
}

fn replace_origin(origin: &mut Origin, first: Option<&Origin>, ours: Option<IpAddr>, replace: &Replace) {
    if let Some(first) = first {
        if replace.origin_full {
            (origin.session, origin.address) = (first.session.clone(), first.address.clone());
        }
        if replace.origin_full || replace.username {
            origin.username.clone_from(&first.username);
        }
    }
    if let Some(ip) = ours.filter(|_| replace.origin || (replace.origin_full && first.is_none())) {
        origin.set_ip(ip);
    }
}

/// Of everything but the version.
fn fingerprint(sdp: &Sdp<'_>) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    if let Some(origin) = sdp.origin() {
        (origin.username, origin.session, origin.address).hash(&mut hasher);
    }
    sdp.text().lines().filter(|line| !line.starts_with("o=")).for_each(|line| line.hash(&mut hasher));
    hasher.finish()
}
