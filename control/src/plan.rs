//! From configuration to what server and relay are told.

use std::net::SocketAddr;

use raceway_api::{Listener, RelayAddress, RelayPorts, ToRelay};
use raceway_config::{Config, Effect, Https, Turn, UserKey};
use raceway_media::{Settings, SettingsError};
use raceway_turn::{Policy, PolicyError, Secret, UnauthenticatedBudget, User};

use crate::boot::addresses::MachineAddresses;
use crate::boot::credentials::Credentials;
use crate::calls;

// What the configuration allows is what relay and server take.
const _: () = {
    assert!(raceway_config::limits::LISTEN_MAX == raceway_api::limits::LISTENERS_MAX);
    assert!(raceway_config::limits::LISTEN_PORTS_MAX == raceway_abi::limits::LISTEN_PORTS_MAX);
    assert!(*raceway_config::limits::FLOWS.end() == raceway_abi::limits::FLOWS_MAX);
    assert!(raceway_config::limits::RELAY_ADDRESSES_MAX <= raceway_turn::limits::RELAY_ADDRESSES_MAX);
    assert!(raceway_config::limits::USERS_MAX <= raceway_turn::limits::USERS_MAX);
    assert!(raceway_config::limits::USER_MAX <= raceway_turn::limits::USERNAME_MAX);
    assert!(raceway_config::limits::REALM_MAX <= raceway_turn::limits::REALM_MAX);
    assert!(raceway_config::limits::SECRET_MAX <= raceway_turn::limits::SECRET_MAX);
    assert!(raceway_config::limits::SHARED_SECRETS_MAX <= raceway_turn::limits::SHARED_SECRETS_MAX);
    assert!(raceway_config::limits::PEER_NETWORKS_MAX <= raceway_turn::limits::PEER_PREFIXES_MAX);
    assert!(raceway_config::limits::QUOTA_MAX <= raceway_turn::limits::ALLOCATIONS_MAX);
};

/// How far a prefix may run ahead of its budget, in seconds of it.
const BURST_S: u64 = 4;

/// What the relay is told with [`ToRelay::Configure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Where clients send to.
    pub listeners: Vec<SocketAddr>,
    /// Where relayed addresses are made.
    pub relay_addresses: Vec<RelayAddress>,
    /// Ports of relayed addresses.
    pub ports: RelayPorts,
    /// Ports of calls.
    pub media_ports: Option<RelayPorts>,
    /// Budget of XDP, by prefix.
    pub stun_requests_per_second: u32,
}

impl Assignment {
    /// The message.
    #[must_use]
    pub fn message(&self) -> ToRelay<'static> {
        ToRelay::Configure {
            listeners: self.listeners.iter().map(|address| Listener { address: *address }).collect(),
            relay_addresses: self.relay_addresses.clone(),
            relay_ports: self.ports,
            media_ports: self.media_ports,
            stun_requests_per_second: self.stun_requests_per_second,
        }
    }
}

/// What one configuration means on this machine.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For the server.
    pub policy: Policy,
    /// For the calls; none if there are no ports for media.
    pub media: Option<Settings>,
    /// For the relay.
    pub assignment: Assignment,
}

/// What a configuration says that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// By the TURN server.
    #[error("turn: {0}")]
    Policy(#[from] PolicyError),
    /// By the calls.
    #[error("media: {0}")]
    Media(#[from] SettingsError),
}

/// Makes the plan.
///
/// # Errors
/// What the server does not take: names and passwords that no client could send (RFC 8265). What the calls do not take.
pub fn plan(config: &Config, machine: &MachineAddresses, credentials: &Credentials) -> Result<Plan, PlanError> {
    let turn = &config.turn;
    let ports = RelayPorts { first: turn.port_range.first, last: turn.port_range.last };
    let listeners = machine.listeners(turn);
    let realm = turn.realm.clone().unwrap_or_else(|| credentials.realm.clone());
    let relay_addresses = machine.relay_addresses(turn);
    let rate = turn.policy.unauthenticated_octets_per_second;
    let policy = Policy {
        users: users(config, credentials),
        shared_secrets: turn.auth.shared_secrets.iter().map(|s| Secret::new(s.expose().to_owned())).collect(),
        listeners: listeners.clone(),
        ports,
        lifetime_default: turn.lifetime_default,
        lifetime_max: turn.lifetime_max,
        allow_peers: turn.policy.allow_peers.clone(),
        deny_peers: turn.policy.deny_peers.clone(),
        own_addresses: machine.all.clone(),
        quota_per_user: quota_per_user(turn, &relay_addresses),
        quota_total: turn.policy.quota_total,
        flows_per_user: turn.policy.flows_per_user.unwrap_or(most_of(config.relay.flows_max)),
        bits_per_second: turn.policy.bits_per_second_per_allocation,
        nonce_lifetime: turn.nonce_lifetime,
        software: turn.software.then(|| format!("Raceway {}", env!("CARGO_PKG_VERSION"))),
        unauthenticated: UnauthenticatedBudget { octets_per_second: rate, burst: rate.saturating_mul(BURST_S) },
        ..Policy::new(realm, relay_addresses.clone())
    };
    policy.check()?;
    let stun_requests_per_second = turn.policy.stun_requests_per_second;
    let media_ports = config.media.port_range.map(|range| RelayPorts { first: range.first, last: range.last });
    let assignment = Assignment { listeners, relay_addresses, ports, media_ports, stun_requests_per_second };
    Ok(Plan { policy, media: calls::settings(config, machine)?, assignment })
}

/// What one user may have of something unless configured: others find some whatever one user does, and a user who is
/// alone still gets the most of it.
const fn most_of(all: u32) -> u32 {
    all - all / 4
}

/// Allocations of one user; by default most of the ports of the scarcer family, of which each allocation takes one.
fn quota_per_user(turn: &Turn, relay_addresses: &[RelayAddress]) -> u32 {
    let ports_each = u32::from(turn.port_range.last - turn.port_range.first) + 1;
    let of_family = |v4: bool| relay_addresses.iter().filter(|address| address.internal.is_ipv4() == v4).count();
    let scarcer = [of_family(true), of_family(false)].into_iter().filter(|count| *count > 0).min();
    // At most 64 addresses.
    let ports = ports_each * scarcer.unwrap_or(1) as u32;
    turn.policy.quota_per_user.unwrap_or(most_of(ports))
}

/// Whether the user of `credentials.toml` is the one that counts.
#[must_use]
pub fn uses_generated_user(config: &Config) -> bool {
    config.turn.auth.users.is_empty() && config.turn.auth.shared_secrets.is_empty()
}

fn users(config: &Config, credentials: &Credentials) -> Vec<User> {
    if uses_generated_user(config) {
        let password = Secret::new(credentials.password.expose().to_owned());
        return vec![User { name: credentials.user.clone(), password }];
    }
    let secret = |key: &UserKey| match key {
        UserKey::Password(password) => Secret::new(password.expose().to_owned()),
        UserKey::Ha1(key) => Secret::ha1(**key),
    };
    let users = config.turn.auth.users.iter();
    users.map(|(name, key)| User { name: name.clone(), password: secret(key) }).collect()
}

/// What runs after a reload: `new`, but what cannot change while running stays as it is in `running`.
#[must_use]
pub fn after_reload(running: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    config.node = running.node.clone();
    config.relay = running.relay.clone();
    config.http = running.http.clone();
    config.ng.listen.clone_from(&running.ng.listen);
    config.ng.listen_written = running.ng.listen_written;
    config.ng.http_listen = running.ng.http_listen;
    config.ng.https = running.ng.https.clone().map(|https| match &new.ng.https {
        Some(new) => Https { listen: https.listen, ..new.clone() },
        None => https,
    });
    config.log.format = running.log.format;
    config.log.redact = running.log.redact;
    for change in raceway_config::diff(running, new).iter().filter(|change| !change.effect.is_live()) {
        match change.key {
            // Sessions hang on the listeners that are no longer named, so those stay.
            "turn.listen" => {
                let gone = running.turn.listen.iter().filter(|address| !new.turn.listen.contains(address));
                config.turn.listen.extend(gone);
            }
            "turn.port_range" => config.turn.port_range = running.turn.port_range,
            _ => debug_assert!(change.effect != Effect::Live, "live keys are not kept"),
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        raceway_config::parse("", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn the_default_flow_table_is_that_of_the_abi() {
        assert_eq!(config("").relay.flows_max, raceway_abi::limits::FLOWS_DEFAULT);
    }

    #[test]
    fn one_user_gets_a_part_of_the_table_that_runs() {
        let machine = MachineAddresses { all: vec!["192.0.2.1".parse().expect("an address")], preferred: Vec::new() };
        let flows = |config: &Config| {
            plan(config, &machine, &Credentials::placeholder()).expect("a valid policy").policy.flows_per_user
        };
        assert_eq!(flows(&config("")), 49_152);
        assert_eq!(flows(&config("[turn.policy]\nflows_per_user = 0")), 0);
        let running = config("[relay]\nflows_max = 1001");
        assert_eq!(flows(&running), 751);
        let reloaded = after_reload(&running, &config("[relay]\nflows_max = 2000"));
        assert_eq!(flows(&reloaded), 751, "the larger table comes with a restart of the relay");
        assert_eq!(flows(&after_reload(&running, &config("[turn.policy]\nflows_per_user = 9"))), 9);
    }

    #[test]
    fn one_user_gets_three_quarters_of_the_ports_of_the_scarcer_family() {
        let address = |text: &str| text.parse().expect("an address");
        let all = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(address).to_vec();
        let quota = |text: &str, all: &[std::net::IpAddr]| {
            let machine = MachineAddresses { all: all.to_vec(), preferred: Vec::new() };
            plan(&config(text), &machine, &Credentials::placeholder()).expect("a valid policy").policy.quota_per_user
        };
        assert_eq!(quota("", &all), 12_288, "of 16,384 IPv6 ports");
        assert_eq!(quota("", &all[..2]), 24_576);
        assert_eq!(quota("[turn]\nport_range = \"50000-50000\"", &all), 1);
        assert_eq!(quota("[turn.policy]\nquota_per_user = 0", &all), 0);
        assert_eq!(quota("[turn.policy]\nquota_per_user = 3", &all), 3);
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_told_again_next_time() {
        let running = config("[turn]\nlisten = [\"127.0.0.1:3478\"]\nport_range = \"50000-50010\"");
        let new = config(
            "[relay]\nxdp = \"off\"\n[turn]\nlisten = [\"127.0.0.1:3479\"]\nport_range = \"50005-50020\"\n\
             lifetime_max_s = 700\n[http]\nlisten = \"off\"\n[ng]\nlisten = []\nallow = [\"10.0.0.1\"]",
        );
        let after = after_reload(&running, &new);
        let listen: Vec<String> = after.turn.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:3479", "127.0.0.1:3478"]);
        assert_eq!(after.turn.port_range, running.turn.port_range);
        assert_eq!(after.http, running.http);
        assert_eq!(after.ng.listen, running.ng.listen);
        assert_eq!(after.ng.allow, new.ng.allow);
        assert_eq!(after.turn.lifetime_max.as_secs(), 700);
        let pending: Vec<&str> = raceway_config::diff(&after, &new).iter().map(|change| change.key).collect();
        assert_eq!(pending, ["relay.xdp", "turn.listen", "turn.port_range", "http.listen", "ng.listen"]);
    }
}
