//! What a person who starts the program wants to know.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use raceway_api::{InterfaceReport, XdpMode};
use raceway_config::{Config, Paths};

use super::credentials::Credentials;
use crate::link::RelayInfo;
use crate::plan::{Plan, uses_generated_user};

/// URIs that are shown; a machine may have dozens of addresses.
const URIS_MAX: usize = 4;

/// Everything that is known before the relay is there. The password is only in it with `show_password`.
#[must_use]
pub fn greeting(config: &Config, plan: &Plan, paths: &Paths, credentials: &Credentials, show_password: bool) -> String {
    let mut text = format!("\nRaceway {} answers TURN clients\n\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    let servers = servers(config, plan);
    for (index, server) in servers.iter().take(URIS_MAX).enumerate() {
        line(if index == 0 { "TURN" } else { "" }, &format!("turn:{server}?transport=udp"));
    }
    if servers.len() > URIS_MAX {
        line("", &format!("and {} more addresses (racewayctl status)", servers.len() - URIS_MAX));
    }
    line("realm", &plan.policy.realm);
    let kept = paths.credentials();
    if uses_generated_user(config) {
        line("user", &credentials.user);
        let kept = kept.display();
        if show_password {
            line("password", &format!("{}   (made on first start, kept in {kept})", credentials.password.expose()));
        } else {
            line("password", &format!("in {kept}"));
        }
    } else {
        let auth = &config.turn.auth;
        line("users", &format!("{} in the configuration", auth.users.len()));
        line("secrets", &format!("{} shared, in the configuration", auth.shared_secrets.len()));
    }
    line("relays", &relays(plan));
    match config.http.listen {
        Some(address) => line("metrics", &format!("http://{address}/metrics")),
        None => line("metrics", "off"),
    }
    if !config.ng.listen.is_empty() {
        let proxies: Vec<String> = config.ng.listen.iter().map(ToString::to_string).collect();
        line("proxies", &format!("ng at {} (docs/ng.md)", proxies.join(", ")));
    }
    if let Some(server) = servers.first() {
        line("try it", &try_it(config, credentials, show_password, *server));
    }
    text
}

/// Addresses for clients: as the world sees them, loopback only if there is nothing else.
fn servers(config: &Config, plan: &Plan) -> Vec<SocketAddr> {
    let external = |address: &SocketAddr| {
        let ip = config.turn.external_addresses.get(&address.ip()).copied().unwrap_or(address.ip());
        SocketAddr::new(ip, address.port())
    };
    let all: Vec<SocketAddr> = plan.assignment.listeners.iter().map(external).collect();
    let world: Vec<SocketAddr> = all.iter().copied().filter(|address| !address.ip().is_loopback()).collect();
    let mut shown = if world.is_empty() { all } else { world };
    let usual = |ip: IpAddr| plan.policy.relay_addresses.iter().any(|relay| relay.external == ip);
    shown.sort_by_key(|address| (!usual(address.ip()), address.is_ipv6()));
    shown
}

fn relays(plan: &Plan) -> String {
    let each = plan.policy.relay_addresses.iter().map(|relay| {
        if relay.internal == relay.external {
            relay.internal.to_string()
        } else {
            format!("{} (seen as {})", relay.internal, relay.external)
        }
    });
    let ports = plan.policy.ports;
    format!("from {}, ports {}-{}", each.collect::<Vec<_>>().join(", "), ports.first, ports.last)
}

/// Two clients that send to each other through the relay: needs no peer.
fn try_it(config: &Config, credentials: &Credentials, show_password: bool, server: SocketAddr) -> String {
    let auth = &config.turn.auth;
    let who = if uses_generated_user(config) {
        let password = if show_password { credentials.password.expose() } else { "PASSWORD" };
        format!("-u {} -w {password}", credentials.user)
    } else if let Some(name) = auth.users.keys().next() {
        format!("-u '{}' -w PASSWORD", name.replace('\'', "'\\''"))
    } else {
        "-u NAME -W SHARED_SECRET".to_owned()
    };
    let family = if server.is_ipv6() { " -x" } else { "" };
    let port = if server.port() == 3478 { String::new() } else { format!(" -p {}", server.port()) };
    format!("turnutils_uclient {who} -y -c{family} -m 2 -n 100 -l 172{port} {}", server.ip())
}

/// Which data path each interface got, once the relay has said so.
#[must_use]
pub fn data_paths(relay: &RelayInfo, root: bool) -> String {
    let mut text = String::new();
    let workers = relay.workers;
    let mut xdp = false;
    for InterfaceReport { name, mode, reason } in &relay.interfaces {
        let path = match mode {
            XdpMode::Native => "XDP native",
            XdpMode::Generic => "XDP generic",
            XdpMode::Off => "workers only",
        };
        xdp |= *mode != XdpMode::Off;
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let _ = writeln!(text, "  {name:<11} {path}{reason}");
    }
    let _ = writeln!(text, "  workers     {workers}");
    if !xdp && !root {
        text.push_str("  root adds   XDP: packets relayed in the network driver, and listening on ports below 1024\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::addresses::MachineAddresses;
    use crate::plan::plan;

    fn greet(text: &str, show_password: bool) -> String {
        let config = raceway_config::parse("", text).unwrap_or_else(|problems| panic!("{problems}"));
        let ips = ["127.0.0.1", "::1", "10.0.0.1", "2001:db8::1"].map(|ip| ip.parse().expect("an address"));
        let machine = MachineAddresses { all: ips.to_vec(), preferred: Vec::new() };
        let credentials = Credentials::placeholder();
        let plan = plan(&config, &machine, &credentials).expect("a plan");
        let paths = Paths { state_dir: "/var/lib/raceway".into(), run_dir: "/run/raceway".into() };
        greeting(&config, &plan, &paths, &credentials, show_password)
    }

    #[test]
    fn a_first_start_tells_all_that_a_client_needs() {
        let text = greet("[turn]\nrealm = \"example.org\"\n", true);
        let expected = r"
  TURN        turn:10.0.0.1:3478?transport=udp
              turn:[2001:db8::1]:3478?transport=udp
  realm       example.org
  user        raceway
  password    placeholder   (made on first start, kept in /var/lib/raceway/credentials.toml)
  relays      from 10.0.0.1, 2001:db8::1, ports 49152-65535
  metrics     http://127.0.0.1:9640/metrics
  proxies     ng at 127.0.0.1:2223 (docs/ng.md)
  try it      turnutils_uclient -u raceway -w placeholder -y -c -m 2 -n 100 -l 172 10.0.0.1
";
        assert!(text.ends_with(expected), "{text}");
        assert!(!greet("", false).contains("placeholder"));
    }

    #[test]
    fn configured_secrets_are_not_shown() {
        let text = greet(
            "[turn]\nlisten = [\"10.0.0.1:5000\"]\nexternal_addresses = { \"10.0.0.1\" = \"203.0.113.7\" }\n\
             [turn.auth]\nshared_secrets = [\"31337\"]\n",
            true,
        );
        assert!(!text.contains("31337") && !text.contains("placeholder"), "{text}");
        assert!(text.contains("turn:203.0.113.7:5000?transport=udp"), "{text}");
        assert!(text.contains("-W SHARED_SECRET -y -c -m 2 -n 100 -l 172 -p 5000 203.0.113.7"), "{text}");
    }

    #[test]
    fn each_interface_says_its_data_path_and_why() {
        let relay = RelayInfo {
            version: "0".to_owned(),
            instance: 1,
            workers: 2,
            flows_max: 64,
            connections: 1,
            interfaces: vec![
                InterfaceReport { name: "eth0".into(), mode: XdpMode::Native, reason: "".into() },
                InterfaceReport { name: "eth1".into(), mode: XdpMode::Off, reason: "the driver has no XDP".into() },
            ],
        };
        let expected =
            "  eth0        XDP native\n  eth1        workers only (the driver has no XDP)\n  workers     2\n";
        assert_eq!(data_paths(&relay, true), expected);
    }
}
