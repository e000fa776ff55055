//! TOML values to ours, one at a time.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::config::{LogFormat, LogLevel, PortRange, Workers, Xdp};
use crate::limits;
use crate::reader::Wrong;
use crate::secret::{Secret, UserKey};

pub(crate) fn text<'v>(value: &'v DeValue<'_>, right: &str) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| Wrong::of_type(value, right))
}

pub(crate) fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| Wrong::of_type(value, "write true or false"))
}

/// A whole number in `range`; `unit` is put behind it in messages.
pub(crate) fn number(value: &DeValue<'_>, range: RangeInclusive<u64>, unit: &str) -> Result<u64, Wrong> {
    let right = if *range.end() >= i64::MAX as u64 {
        format!("write a whole number of{unit}, {} or more", range.start())
    } else {
        format!("write a whole number of{unit} from {} to {}", range.start(), range.end())
    };
    let Some(integer) = value.as_integer() else { return Err(Wrong::of_type(value, right)) };
    match u64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(Wrong::new(format!("{integer} is out of range"), right)),
    }
}

pub(crate) fn number_u32(value: &DeValue<'_>, range: RangeInclusive<u32>, unit: &str) -> Result<u32, Wrong> {
    let (first, last) = range.into_inner();
    number(value, first.into()..=last.into(), unit).map(|n| n as u32)
}

pub(crate) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    let right = "write an absolute path, as in \"/var/lib/raceway\"";
    let path = PathBuf::from(text(value, right)?);
    if path.is_absolute() { Ok(path) } else { Err(Wrong::new(format!("{path:?} is not absolute"), right)) }
}

pub(crate) fn account(value: &DeValue<'_>) -> Result<String, Wrong> {
    let right = "write the name of an account of this machine, as in \"raceway\"";
    let name = text(value, right)?;
    if name.is_empty() || name.contains(['/', ':', '\0', '\n']) {
        return Err(Wrong::new(format!("{name:?} is not an account name"), right));
    }
    Ok(name.to_owned())
}

pub(crate) fn interface(value: &DeValue<'_>) -> Result<String, Wrong> {
    let right = "write the name that `ip link` shows, as in \"eth0\"";
    let name = text(value, right)?;
    let bad = name.is_empty() || name == "." || name == ".." || name.len() > limits::INTERFACE_NAME_MAX;
    if bad || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new(format!("{name:?} is not an interface name"), right));
    }
    Ok(name.to_owned())
}

fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
    let right = format!("write {}", or(&names));
    let word = text(value, &right)?;
    match choices.iter().find(|(name, _)| *name == word) {
        Some((_, choice)) => Ok(*choice),
        None => Err(Wrong::new(format!("{word:?} is not one of the choices"), right)),
    }
}

fn or(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

pub(crate) fn xdp(value: &DeValue<'_>) -> Result<Xdp, Wrong> {
    choice(value, &[("auto", Xdp::Auto), ("native", Xdp::Native), ("generic", Xdp::Generic), ("off", Xdp::Off)])
}

pub(crate) fn log_level(value: &DeValue<'_>) -> Result<LogLevel, Wrong> {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug];
    choice(value, &levels.map(|level| (level.as_str(), level)))
}

pub(crate) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, Wrong> {
    choice(value, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

/// `"auto"` is `None`.
pub(crate) fn auto(value: &DeValue<'_>, right: &str) -> Result<(), Wrong> {
    match value.as_str() {
        Some("auto") => Ok(()),
        Some(other) => Err(Wrong::new(format!("{other:?} is not \"auto\""), right)),
        None => Err(Wrong::of_type(value, right)),
    }
}

pub(crate) fn workers(value: &DeValue<'_>) -> Result<Workers, Wrong> {
    auto(value, "write \"auto\" or a list of core numbers, as in [0, 1]").map(|()| Workers::Auto)
}

pub(crate) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
    let right = "write address:port, as in \"192.0.2.1:3478\" or \"[2001:db8::1]:3478\"";
    let text = text(value, right)?;
    let address: SocketAddr = text.parse().map_err(|_| Wrong::new(format!("{text:?} is not address:port"), right))?;
    if address.port() == 0 {
        return Err(Wrong::new(format!("{text:?} has port 0"), "write a port from 1 to 65535"));
    }
    refuse_odd(address.ip(), text)?;
    Ok(address)
}

/// `"off"` is `None`.
pub(crate) fn http_listen(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Wrong> {
    if value.as_str() == Some("off") { Ok(None) } else { socket_address(value).map(Some) }
}

fn refuse_odd(address: IpAddr, text: &str) -> Result<(), Wrong> {
    if address.is_multicast() || address == IpAddr::from([255, 255, 255, 255]) {
        return Err(Wrong::new(format!("{text:?} is not a unicast address"), "write an address of this machine"));
    }
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let v4 = address.to_canonical();
            Err(Wrong::new(format!("{text:?} is IPv4 in IPv6 form"), format!("write \"{v4}\" in its place")))
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(Wrong::new(
            format!("{text:?} is a link-local address, which means nothing without its interface"),
            "write a global or unique local address",
        )),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

pub(crate) fn unicast(text: &str, right: &str) -> Result<IpAddr, Wrong> {
    let address: IpAddr = text.parse().map_err(|_| Wrong::new(format!("{text:?} is not an IP address"), right))?;
    if address.is_unspecified() {
        return Err(Wrong::new(
            format!("{text:?} is a wildcard"),
            "write one concrete address: peers see it as the source of what is relayed",
        ));
    }
    refuse_odd(address, text)?;
    Ok(address)
}

pub(crate) const ADDRESS_RIGHT: &str = "write an address without port, as in \"192.0.2.1\" or \"2001:db8::1\"";

pub(crate) fn address(value: &DeValue<'_>) -> Result<IpAddr, Wrong> {
    unicast(text(value, ADDRESS_RIGHT)?, ADDRESS_RIGHT)
}

pub(crate) fn external(name: &str, value: &DeValue<'_>) -> Result<(IpAddr, IpAddr), Wrong> {
    let right = "write internal = external, as in \"10.0.0.1\" = \"203.0.113.7\"";
    let internal = unicast(name, right)?;
    let external = unicast(text(value, right)?, right)?;
    if internal.is_ipv4() != external.is_ipv4() {
        return Err(Wrong::new(
            format!("\"{internal}\" and \"{external}\" are of different families"),
            "write two IPv4 or two IPv6 addresses",
        ));
    }
    Ok((internal, external))
}

pub(crate) fn port_range(value: &DeValue<'_>) -> Result<PortRange, Wrong> {
    let right = "write first-last, as in \"49152-65535\"";
    let text = text(value, right)?;
    let wrong = |what: &str| Wrong::new(format!("{text:?} {what}"), right);
    let (first, last) = text.split_once('-').ok_or_else(|| wrong("is not a range"))?;
    let port = |text: &str| match text.trim().parse() {
        Ok(0) | Err(_) => Err(wrong("has a port outside 1 to 65535")),
        Ok(port) => Ok(port),
    };
    let (first, last): (u16, u16) = (port(first)?, port(last)?);
    if last < first {
        return Err(wrong("ends before it begins"));
    }
    Ok(PortRange { first, last })
}

pub(crate) fn realm(value: &DeValue<'_>) -> Result<String, Wrong> {
    let right = "write a name, as in \"example.org\"";
    let realm = text(value, right)?;
    if realm.is_empty() {
        return Err(Wrong::new("an empty realm", right));
    }
    if realm.len() > limits::REALM_MAX {
        let what = format!("{} octets are too many", realm.len());
        return Err(Wrong::new(what, format!("write at most {} (RFC 8489 section 14.9)", limits::REALM_MAX)));
    }
    if realm.contains(|c: char| c.is_control() || c == '"' || c == '\\' || c == ':') {
        return Err(Wrong::new(format!("{realm:?} has a character that a realm cannot have"), right));
    }
    Ok(realm.to_owned())
}

pub(crate) const USERS_RIGHT: &str = "write name = password, as in alice = \"correct horse\"";

pub(crate) fn user(name: &str, value: &DeValue<'_>) -> Result<(String, UserKey), Wrong> {
    if name.is_empty() || name.len() > limits::USER_MAX {
        let right = format!("write a name of 1 to {} octets (RFC 8489 section 14.3)", limits::USER_MAX);
        return Err(Wrong::new("a user name of that length cannot be sent", right));
    }
    if name.contains(|c: char| c == ':' || c.is_control()) {
        return Err(Wrong::new("a user name with a colon or control character", "write the name without it"));
    }
    let password = secret_text(value, USERS_RIGHT)?;
    let key = UserKey::parse(password).ok_or_else(|| {
        Wrong::new(
            "\"0x\" begins a key that is not 32 hexadecimal digits long",
            "write 0x and MD5(name:realm:password), or a password that does not begin with 0x",
        )
    })?;
    Ok((name.to_owned(), key))
}

pub(crate) const SECRETS_RIGHT: &str = "write a list of strings, as in [\"north\", \"south\"]";

pub(crate) fn shared_secret(value: &DeValue<'_>) -> Result<Secret, Wrong> {
    secret_text(value, SECRETS_RIGHT).map(|secret| Secret::new(secret.to_owned()))
}

fn secret_text<'v>(value: &'v DeValue<'_>, right: &str) -> Result<&'v str, Wrong> {
    let secret = text(value, right)?;
    if secret.is_empty() {
        return Err(Wrong::new("an empty secret", "write one that nobody can guess"));
    }
    if secret.len() > limits::SECRET_MAX {
        return Err(Wrong::new("a secret too long", format!("write at most {} octets", limits::SECRET_MAX)));
    }
    Ok(secret)
}

pub(crate) const NETWORKS_RIGHT: &str = "write networks, as in [\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.9\"]";

pub(crate) fn network(value: &DeValue<'_>) -> Result<IpNet, Wrong> {
    let text = text(value, NETWORKS_RIGHT)?;
    let wrong = || Wrong::new(format!("{text:?} is not a network"), NETWORKS_RIGHT);
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| wrong())?,
    };
    if net.trunc() != net {
        let right = format!("write \"{}\" for the network, \"{}\" for the one address", net.trunc(), net.addr());
        return Err(Wrong::new(format!("{text:?} has bits set behind its prefix"), right));
    }
    Ok(net)
}
