//! Where load may go: names and port ranges in, addresses out, and a refusal of what is not the operator's.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// `HOST:PORT` or `HOST:FIRST-LAST`, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    first: u16,
    last: u16,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; write HOST:PORT or HOST:FIRST-LAST, IPv6 as [::1]:PORT");
        let (host, ports) = text.rsplit_once(':').ok_or_else(|| wrong("there is no port"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(wrong("there is no host"));
        }
        if host.contains(':') && !text.starts_with('[') {
            return Err(wrong("an IPv6 address needs brackets"));
        }
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(wrong(&format!("'{text}' is not a port from 1 to 65535"))),
        };
        let (first, last) = (port(first)?, port(last)?);
        if last < first {
            return Err(wrong(&format!("the range {first}-{last} runs backwards")));
        }
        Ok(Self { host: host.to_owned(), first, last })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        write!(f, ":{}", self.first)?;
        if self.last > self.first { write!(f, "-{}", self.last) } else { Ok(()) }
    }
}

/// Where packets may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To loopback and private ranges.
    Private,
    /// To any host: the operator says that all of them are his to load.
    Anywhere,
}

impl Reach {
    /// As `--i-own-this-target` has it.
    #[must_use]
    pub const fn of(mine: bool) -> Self {
        if mine { Self::Anywhere } else { Self::Private }
    }

    /// Whether packets may go to an address that somebody else named: a server, or who sent to us.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let somebody = !address.is_unspecified() && !is_group(address);
        somebody && (self == Self::Anywhere || is_private(address))
    }
}

impl Target {
    /// Its addresses, one for each port: the first address that the name has.
    ///
    /// # Errors
    /// The name has no address, or one that is not the operator's to load and `mine` does not say so.
    pub fn resolve(&self, mine: bool) -> Result<Vec<SocketAddr>> {
        let found = (self.host.as_str(), self.first).to_socket_addrs();
        let mut found = found.with_context(|| format!("{self}: the name cannot be looked up"))?;
        let address = found.next().with_context(|| format!("{self}: the name has no address"))?.ip().to_canonical();
        ensure!(!address.is_unspecified(), "{self}: nobody can be reached at this address; name a host");
        ensure!(!is_group(address), "{self}: load goes to single hosts, not to multicast or broadcast");
        if !mine && !is_private(address) {
            bail!(
                "{self} ({address}) is outside loopback and private ranges. Load is only for hosts that are yours to load: \
                 if this one is, say --i-own-this-target"
            );
        }
        Ok((self.first..=self.last).map(|port| SocketAddr::new(address, port)).collect())
    }

    /// The one address of a target that may have one port only.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), or several ports.
    pub fn resolve_one(&self, mine: bool) -> Result<SocketAddr> {
        match self.resolve(mine)?[..] {
            [address] => Ok(address),
            _ => bail!("{self}: one port, not a range"),
        }
    }

    /// The local addresses that it names, for sockets of our own.
    ///
    /// # Errors
    /// The host is no address of this machine's form.
    pub fn local(&self) -> Result<Vec<SocketAddr>> {
        let address: IpAddr = self.host.parse().with_context(|| format!("{self}: give an address of this machine"))?;
        Ok((self.first..=self.last).map(|port| SocketAddr::new(address, port)).collect())
    }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

/// Loopback, RFC 1918, RFC 4193 and link-local addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The address of this machine from which `target` is reached; nothing is sent.
///
/// # Errors
/// No route.
pub fn local_towards(target: SocketAddr) -> Result<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = UdpSocket::bind(any).context("this machine has no UDP over this address family")?;
    probe.connect(target).with_context(|| format!("{target}: no route to it"))?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, mine: bool) -> Result<Vec<SocketAddr>> {
        text.parse::<Target>().map_err(anyhow::Error::msg)?.resolve(mine)
    }

    #[test]
    fn ports_and_ranges_of_both_families_are_read() {
        assert_eq!(resolve("127.0.0.1:5000", false).unwrap(), ["127.0.0.1:5000".parse().unwrap()]);
        let range = resolve("[::1]:5000-5002", false).unwrap();
        assert_eq!(range.len(), 3);
        assert_eq!(range[2], "[::1]:5002".parse().unwrap());
        assert_eq!("[::1]:5000-5002".parse::<Target>().unwrap().to_string(), "[::1]:5000-5002");
    }

    #[test]
    fn what_is_no_target_says_what_would_be() {
        for text in ["127.0.0.1", ":5000", "::1:5000", "h:0", "h:70000", "h:5-4", "h:x", ""] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn public_addresses_are_refused_unless_they_are_the_operators() {
        for public in ["8.8.8.8:5000", "100.64.0.1:5000", "[2001:4860:4860::8888]:53", "[::ffff:8.8.8.8]:53"] {
            let error = resolve(public, false).unwrap_err().to_string();
            assert!(error.contains("--i-own-this-target"), "{error}");
            resolve(public, true).unwrap();
        }
        for private in ["10.1.2.3:1", "192.168.1.1:1", "172.16.0.1:1", "[fd00::1]:1", "[::ffff:10.0.0.1]:1"] {
            resolve(private, false).unwrap();
        }
    }

    #[test]
    fn what_others_name_is_held_to_the_same_ranges() {
        let allowed = |reach: Reach, address: &str| reach.allows(address.parse().unwrap());
        for public in ["8.8.8.8", "100.64.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"] {
            assert!(!allowed(Reach::Private, public) && allowed(Reach::Anywhere, public), "{public}");
        }
        for private in ["127.0.0.1", "10.1.2.3", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(allowed(Reach::Private, private) && allowed(Reach::Anywhere, private), "{private}");
        }
        for nobody in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(!allowed(Reach::Private, nobody) && !allowed(Reach::Anywhere, nobody), "{nobody}");
        }
    }

    #[test]
    fn nobodys_and_everybodys_addresses_are_refused_whoever_owns_them() {
        for text in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1"] {
            assert!(resolve(text, true).is_err(), "{text}");
        }
    }
}
