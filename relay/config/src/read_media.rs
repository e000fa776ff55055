//! Values of `[ng]`, `[media]` and `[recording]`.

use core::net::{IpAddr, SocketAddr};

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use toml::de::{DeTable, DeValue};

use crate::limits;
use crate::media::{MediaInterface, Notice, Url};
use crate::read::{text, unicast};
use crate::reader::Wrong;

const INTERFACE_RIGHT: &str = "write an address, as in \"10.0.0.1\", an address with the one that SDP is to have, as in { address = \
     \"10.0.0.1\", advertised = \"203.0.113.7\" }, or a list of these";

/// A logical interface: its addresses, one of each family at most.
pub(crate) fn media_interface(name: &str, value: &DeValue<'_>) -> Result<(String, Vec<MediaInterface>), Wrong> {
    if name.is_empty() || name.len() > limits::MEDIA_NAME_MAX || !name.chars().all(|c| c.is_ascii_graphic()) {
        let right = format!("write a name of 1 to {} visible ASCII characters", limits::MEDIA_NAME_MAX);
        return Err(Wrong::new(format!("{name:?} cannot be said in a command"), right));
    }
    let list = match value {
        DeValue::Array(list) => list.iter().map(|item| one(name, item.get_ref())).collect::<Result<Vec<_>, _>>()?,
        one_value => vec![one(name, one_value)?],
    };
    for family in [true, false] {
        let of_family: Vec<_> = list.iter().filter(|interface| interface.address.is_ipv4() == family).collect();
        if let [first, second, ..] = of_family[..] {
            let what = format!("\"{}\" and \"{}\" are of one family", first.address, second.address);
            return Err(Wrong::new(what, "write one IPv4 and one IPv6 address at most, and others under other names"));
        }
    }
    if list.is_empty() { Err(Wrong::new("an empty list", INTERFACE_RIGHT)) } else { Ok((name.to_owned(), list)) }
}

fn one(name: &str, value: &DeValue<'_>) -> Result<MediaInterface, Wrong> {
    let (address, advertised) = match value {
        DeValue::Table(table) => both(table)?,
        plain => {
            let address = unicast(text(plain, INTERFACE_RIGHT)?, INTERFACE_RIGHT)?;
            (address, address)
        }
    };
    if address.is_ipv4() != advertised.is_ipv4() {
        return Err(Wrong::new(
            format!("\"{address}\" and \"{advertised}\" are of different families"),
            "write two IPv4 or two IPv6 addresses",
        ));
    }
    Ok(MediaInterface { name: name.to_owned(), address, advertised })
}

fn both(table: &DeTable<'_>) -> Result<(IpAddr, IpAddr), Wrong> {
    let (mut address, mut advertised) = (None, None);
    for (key, value) in table.iter() {
        let place = match key.get_ref().as_ref() {
            "address" => &mut address,
            "advertised" => &mut advertised,
            other => return Err(Wrong::new(format!("{other:?} is not known here"), "known here: address, advertised")),
        };
        *place = Some(unicast(text(value.get_ref(), INTERFACE_RIGHT)?, INTERFACE_RIGHT)?);
    }
    let address = address.ok_or_else(|| Wrong::new("an interface without an address", INTERFACE_RIGHT))?;
    Ok((address, advertised.unwrap_or(address)))
}

pub(crate) const NOTICES_RIGHT: &str = "write a list of \"timeout\", \"one_way\", \"no_keys\", \"ended\" and \"dtmf\"";

/// Something that can be told of calls.
pub(crate) fn notice(value: &DeValue<'_>) -> Result<Notice, Wrong> {
    let text = text(value, NOTICES_RIGHT)?;
    let known = Notice::ALL.into_iter().find(|notice| notice.name() == text);
    known.ok_or_else(|| Wrong::new(format!("{text:?} is not told of calls"), NOTICES_RIGHT))
}

/// Where datagrams go, or `off`.
pub(crate) fn destination(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Wrong> {
    let right = "write an address with a port, as in \"127.0.0.1:2333\", or \"off\"";
    let text = text(value, right)?;
    if text == "off" {
        return Ok(None);
    }
    let address: SocketAddr =
        text.parse().map_err(|_| Wrong::new(format!("{text:?} is no address with a port"), right))?;
    let ip = address.ip();
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        return Err(Wrong::new(format!("nothing can be sent to {text:?}"), right));
    }
    Ok(Some(address))
}

/// An address of the web, or `off`.
pub(crate) fn url(value: &DeValue<'_>) -> Result<Option<Url>, Wrong> {
    let right = "write \"http://host:port/path\" or \"https://host/path\", or \"off\"";
    let text = text(value, right)?;
    if text == "off" {
        return Ok(None);
    }
    let wrong = || Wrong::new(format!("{text:?} is no address of the web"), right);
    let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(wrong()),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let has_port = authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match has_port {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
        None => (authority, if https { 443 } else { 80 }),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let is_path = path.chars().all(|c| c.is_ascii_graphic() && c != '#');
    if host.is_empty() || text.len() > limits::URL_MAX || !host.chars().all(is_name) || !is_path {
        return Err(wrong());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Some(Url { https, host: host.to_owned(), port, path }))
}

/// A recipient of age (<https://age-encryption.org/v1>): an X25519 public key in Bech32, as `age-keygen` prints it.
pub(crate) fn public_key(value: &DeValue<'_>) -> Result<[u8; 32], Wrong> {
    let right =
        "write what `age-keygen -o identity.txt`, run on another machine, calls the public key: it begins with age1";
    let wrong = |what: &str| Wrong::new(what, right);
    let text = text(value, right)?.trim();
    if text.to_ascii_lowercase().starts_with("age-secret-key-") {
        return Err(wrong("this is the secret key, which does not belong on this machine"));
    }
    let read = CheckedHrpstring::new::<Bech32>(text)
        .map_err(|_| wrong("not a public key of age, or a letter of it is wrong"))?;
    let key: Vec<u8> = read.byte_iter().collect();
    if read.hrp() != Hrp::parse_unchecked("age") {
        return Err(wrong("not an X25519 public key of age"));
    }
    key.try_into().map_err(|_| wrong("not an X25519 public key of age"))
}

/// As [`public_key`] reads it.
pub(crate) fn write_public_key(key: &[u8; 32]) -> String {
    bech32::encode::<Bech32>(Hrp::parse_unchecked("age"), key).unwrap_or_default()
}
