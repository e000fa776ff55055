//! Checks that need the machine: addresses that are not here, ports that are taken.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use raceway_api::limits::LISTENERS_MAX;
use raceway_config::{Config, Interfaces, Problem, Problems, Workers};

use super::addresses::MachineAddresses;

/// What our own programs hold already, so that it is not taken for a stranger's.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Where our relay listens; none when there is one and it is not known where.
    pub listeners: Option<&'a [SocketAddr]>,
    /// Our control serves HTTP and proxies already.
    pub control: bool,
    /// The relay may have more rights than this process: a port that this one may not take is no problem.
    pub relay_has_rights: bool,
}

/// Refuses a configuration that this machine cannot carry out.
///
/// # Errors
/// Everything that does not fit.
pub fn check_machine(config: &Config, machine: &MachineAddresses, held: Held<'_>) -> Result<(), Problems> {
    let mut problems = Vec::new();
    check_listeners(config, machine, held, &mut problems);
    check_relay_addresses(config, machine, &mut problems);
    check_hardware(config, &mut problems);
    check_media_interfaces(config, machine, &mut problems);
    if !held.control {
        check_own_ports(config, &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Ports that control takes itself.
fn check_own_ports(config: &Config, problems: &mut Vec<Problem>) {
    let off = "write another port, or \"off\"";
    let https = config.ng.https.as_ref().map(|https| https.listen);
    let listeners =
        [("http.listen", config.http.listen), ("ng.http_listen", config.ng.http_listen), ("ng.https_listen", https)];
    for (key, listen) in listeners {
        if let Some(address) = listen
            && let Err(error) = TcpListener::bind(address)
        {
            problems.push(bind_problem(config, key, address, &error, off));
        }
    }
    for (index, address) in config.ng.listen.iter().enumerate().filter(|_| config.ng.listen_written) {
        if let Err(error) = UdpSocket::bind(address).map(drop).and_then(|()| TcpListener::bind(address).map(drop)) {
            problems.push(bind_problem(config, &format!("ng.listen[{index}]"), *address, &error, "write another port"));
        }
    }
}

fn check_media_interfaces(config: &Config, machine: &MachineAddresses, problems: &mut Vec<Problem>) {
    for interface in config.media.interfaces.iter().flatten().filter(|interface| !machine.has(interface.address)) {
        let key = format!("media.interfaces.{:?}", interface.name);
        let right = "write an address that `ip address` shows, and a NAT address as advertised";
        let what = format!("\"{}\" is not an address of this machine", interface.address);
        problems.push(config.origin.problem(&key, what, right));
    }
}

fn check_listeners(config: &Config, machine: &MachineAddresses, held: Held<'_>, problems: &mut Vec<Problem>) {
    let listeners = machine.listeners(&config.turn);
    if listeners.is_empty() {
        let right = "write an address that `ip address` shows";
        problems.push(config.origin.problem("turn.listen", "this machine has no address of that family", right));
    }
    if listeners.len() > LISTENERS_MAX {
        let what = format!("the wildcards stand for {} addresses here, which are too many", listeners.len());
        problems.push(config.origin.problem("turn.listen", what, format!("name at most {LISTENERS_MAX} addresses")));
    }
    for (index, configured) in config.turn.listen.iter().enumerate() {
        let key = format!("turn.listen[{index}]");
        if !configured.ip().is_unspecified() && !machine.has(configured.ip()) {
            problems.push(not_here(config, &key, configured.ip()));
        } else if let Some(ours) = held.listeners {
            let strange = listeners.iter().filter(|l| covers(*configured, **l) && !ours.contains(l));
            let refused = strange.filter_map(|l| UdpSocket::bind(l).err().map(|error| (*l, error)));
            let no_matter =
                |error: &io::Error| held.relay_has_rights && error.kind() == io::ErrorKind::PermissionDenied;
            if let Some((address, error)) = refused.into_iter().find(|(_, error)| !no_matter(error)) {
                let right = "stop what listens there (`ss -lunp` names it) or write another port";
                problems.push(bind_problem(config, &key, address, &error, right));
            }
        }
    }
}

fn covers(configured: SocketAddr, concrete: SocketAddr) -> bool {
    let wildcard = configured.ip().is_unspecified() && configured.is_ipv4() == concrete.is_ipv4();
    configured.port() == concrete.port() && (wildcard || configured.ip() == concrete.ip())
}

fn check_relay_addresses(config: &Config, machine: &MachineAddresses, problems: &mut Vec<Problem>) {
    for (index, address) in config.turn.relay_addresses.iter().flatten().enumerate() {
        if !machine.has(*address) {
            problems.push(not_here(config, &format!("turn.relay_addresses[{index}]"), *address));
        }
    }
    let relay = machine.relay_addresses(&config.turn);
    if relay.is_empty() {
        let what = "this machine has no address to relay from";
        problems.push(config.origin.problem("turn.relay_addresses", what, "give it one (`ip address add`)"));
    }
    for internal in config.turn.external_addresses.keys().filter(|i| !relay.iter().any(|r| r.internal == **i)) {
        let used: Vec<String> = relay.iter().map(|r| r.internal.to_string()).collect();
        let key = format!("turn.external_addresses.\"{internal}\"");
        let what = format!("\"{internal}\" is not an address that is relayed from ({} are)", used.join(", "));
        problems.push(config.origin.problem(&key, what, "name it in relay_addresses"));
    }
}

/// Interfaces and cores that are named must be there.
fn check_hardware(config: &Config, problems: &mut Vec<Problem>) {
    if let Interfaces::Named(names) = &config.relay.interfaces {
        // Not by /sys, which may show another network namespace.
        let here = |name: &str| nix::net::if_::if_nametoindex(name).is_ok();
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !here(name)) {
            let key = format!("relay.interfaces[{index}]");
            let what = format!("{name:?} is not an interface of this machine");
            problems.push(config.origin.problem(&key, what, "write a name that `ip link` shows"));
        }
    }
    let Workers::Cores(cores) = &config.relay.workers else { return };
    let Ok(usable) = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)) else { return };
    for (index, core) in cores.iter().enumerate() {
        if !usable.is_set(usize::from(*core)).unwrap_or(false) {
            let key = format!("relay.workers[{index}]");
            let what = format!("core {core} is not one that this process may use");
            problems.push(config.origin.problem(&key, what, "write cores that `taskset -cp $$` shows, or \"auto\""));
        }
    }
}

fn not_here(config: &Config, key: &str, address: IpAddr) -> Problem {
    let right = "write an address that `ip address` shows; for a NAT address use external_addresses";
    config.origin.problem(key, format!("\"{address}\" is not an address of this machine"), right)
}

fn bind_problem(config: &Config, key: &str, address: SocketAddr, error: &io::Error, in_use: &str) -> Problem {
    let (what, right) = match error.kind() {
        io::ErrorKind::AddrInUse => (format!("\"{address}\" is in use by another program"), in_use.to_owned()),
        io::ErrorKind::PermissionDenied => (
            format!("port {} needs rights that this account does not have", address.port()),
            "start as root or write a port from 1024 up".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => (
            format!("\"{address}\" is not an address of this machine"),
            "write an address that `ip address` shows".to_owned(),
        ),
        _ => (format!("\"{address}\" cannot be listened on: {error}"), "write another address".to_owned()),
    };
    config.origin.problem(key, what, right)
}

/// Type of a Unix socket, as /proc/net/unix writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    /// The admin socket.
    Stream,
    /// The relay's socket.
    SeqPacket,
}

/// Whether somebody listens on a Unix socket in this network namespace. Asks the kernel's list, because a connection
/// would be taken for a control that comes and goes.
#[must_use]
pub fn is_served(path: &Path, kind: SocketType) -> bool {
    std::fs::read_to_string("/proc/net/unix").is_ok_and(|list| is_listed(&list, path, kind))
}

fn is_listed(list: &str, path: &Path, kind: SocketType) -> bool {
    let kind = match kind {
        SocketType::Stream => "0001",
        SocketType::SeqPacket => "0005",
    };
    list.lines().skip(1).any(|line| {
        let mut words = line.split_ascii_whitespace();
        let mut nth = |n| words.nth(n).unwrap_or_default();
        let (flags, its_kind, its_path) = (nth(3), nth(0), nth(2));
        flags == "00010000" && its_kind == kind && Path::new(its_path) == path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let config = raceway_config::parse("raceway.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let machine = MachineAddresses::read().expect("the kernel answers");
        let held = Held { listeners: Some(&[]), control: false, relay_has_rights: false };
        match check_machine(&config, &machine, held) {
            Ok(()) => "fits".to_owned(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn addresses_of_other_machines_are_refused() {
        assert_eq!(
            check(
                "[turn]\nlisten = [\"198.51.100.1:3478\"]\nrelay_addresses = [\"198.51.100.2\"]\n\
                 [http]\nlisten = \"198.51.100.1:9640\""
            ),
            "raceway.toml:2: turn.listen[0]: \"198.51.100.1\" is not an address of this machine; write an address that \
             `ip address` shows; for a NAT address use external_addresses\n\
             raceway.toml:3: turn.relay_addresses[0]: \"198.51.100.2\" is not an address of this machine; write an \
             address that `ip address` shows; for a NAT address use external_addresses\n\
             raceway.toml:5: http.listen: \"198.51.100.1:9640\" is not an address of this machine; write an address that \
             `ip address` shows"
        );
    }

    #[test]
    fn media_and_proxies_want_addresses_of_this_machine_too() {
        let listening = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let taken = listening.local_addr().expect("bound");
        assert_eq!(
            check(&format!(
                "[turn]\nport_range = \"1-2\"\nlisten = [\"127.0.0.1:3996\"]\n[http]\nlisten = \"off\"\n[media.interfaces]\nint = \"127.0.0.1\"\n\
                 ext = [\"198.51.100.7\", {{ address = \"2001:db8::7\" }}]\n[ng]\nlisten = [\"{taken}\"]\n"
            )),
            format!(
                "raceway.toml:8: media.interfaces.\"ext\": \"198.51.100.7\" is not an address of this machine; write an \
                 address that `ip address` shows, and a NAT address as advertised\n\
                 raceway.toml:8: media.interfaces.\"ext\": \"2001:db8::7\" is not an address of this machine; write an \
                 address that `ip address` shows, and a NAT address as advertised\n\
                 raceway.toml:10: ng.listen[0]: \"{taken}\" is in use by another program; write another port"
            )
        );
    }

    #[test]
    fn interfaces_and_cores_that_are_not_there_are_refused() {
        assert_eq!(
            check(
                "[relay]\ninterfaces = [\"lo\", \"nosuch0\"]\nworkers = [1000]\n\
                 [turn]\nlisten = [\"127.0.0.1:3998\"]\n[http]\nlisten = \"off\""
            ),
            "raceway.toml:2: relay.interfaces[1]: \"nosuch0\" is not an interface of this machine; write a name that \
             `ip link` shows\n\
             raceway.toml:3: relay.workers[0]: core 1000 is not one that this process may use; write cores that \
             `taskset -cp $$` shows, or \"auto\""
        );
    }

    #[test]
    fn a_socket_is_served_while_somebody_listens() {
        let directory = crate::testing::Directory::new("served");
        let path = directory.path().join("admin.sock");
        assert!(!is_served(&path, SocketType::Stream));
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("an own directory");
        assert!(is_served(&path, SocketType::Stream));
        assert!(!is_served(&path, SocketType::SeqPacket));
        drop(listener);
        assert!(!is_served(&path, SocketType::Stream));
    }

    #[test]
    fn a_port_in_use_is_refused() {
        let held = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let listening = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (udp, tcp) = (held.local_addr().expect("bound"), listening.local_addr().expect("bound"));
        assert_eq!(
            check(&format!(
                "[turn]\nlisten = [\"{udp}\"]\nrelay_addresses = [\"127.0.0.1\"]\nport_range = \"1-2\"\n\
                 [http]\nlisten = \"{tcp}\""
            )),
            format!(
                "raceway.toml:2: turn.listen[0]: \"{udp}\" is in use by another program; stop what listens there \
                 (`ss -lunp` names it) or write another port\n\
                 raceway.toml:6: http.listen: \"{tcp}\" is in use by another program; write another port, or \
                 \"off\""
            )
        );
    }

    #[test]
    fn an_external_address_needs_its_internal_one_here() {
        let told = check(
            "[turn]\nlisten = [\"127.0.0.1:3999\"]\nexternal_addresses = { \"198.51.100.1\" = \"203.0.113.7\" }\n\
             [http]\nlisten = \"off\"",
        );
        assert!(
            told.starts_with("raceway.toml:3: turn.external_addresses.\"198.51.100.1\": \"198.51.100.1\" is not an"),
            "{told}"
        );
    }
}
