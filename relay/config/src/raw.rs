//! What the file says, key by key, before defaults and before keys are compared with each other.

use core::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeTable;

use crate::config::{Interfaces, LogFormat, LogLevel, PortRange, Workers, Xdp};
use crate::limits;
use crate::raw_media::RawMedia;
use crate::read;
use crate::reader::{Reader, Section};
use crate::secret::{Secret, UserKey};

#[derive(Default)]
pub(crate) struct RawConfig {
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) interfaces: Option<Interfaces>,
    pub(crate) xdp: Option<Xdp>,
    pub(crate) workers: Option<Workers>,
    pub(crate) flows_max: Option<u32>,
    pub(crate) pin_dir: Option<PathBuf>,
    pub(crate) turn: RawTurn,
    pub(crate) http_listen: Option<Option<SocketAddr>>,
    pub(crate) media: RawMedia,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) log_format: Option<LogFormat>,
    pub(crate) log_redact: Option<bool>,
}

#[derive(Default)]
pub(crate) struct RawTurn {
    pub(crate) listen: Option<Vec<SocketAddr>>,
    pub(crate) realm: Option<String>,
    pub(crate) relay_addresses: Option<Vec<IpAddr>>,
    pub(crate) external_addresses: Option<Vec<(IpAddr, IpAddr)>>,
    pub(crate) port_range: Option<PortRange>,
    pub(crate) lifetime_default_s: Option<u32>,
    pub(crate) lifetime_max_s: Option<u32>,
    pub(crate) software: Option<bool>,
    pub(crate) nonce_lifetime_s: Option<u32>,
    pub(crate) users: Option<Vec<(String, UserKey)>>,
    pub(crate) shared_secrets: Option<Vec<Secret>>,
    pub(crate) allow_peers: Option<Vec<IpNet>>,
    pub(crate) deny_peers: Option<Vec<IpNet>>,
    pub(crate) quota_per_user: Option<u32>,
    pub(crate) quota_total: Option<u32>,
    pub(crate) flows_per_user: Option<u32>,
    pub(crate) bits_per_second_per_allocation: Option<u64>,
    pub(crate) unauthenticated_octets_per_second: Option<u64>,
    pub(crate) stun_requests_per_second: Option<u32>,
}

impl RawConfig {
    /// Reads every section; what is wrong goes into `reader`.
    pub(crate) fn read(reader: &mut Reader, root: &DeTable<'_>) -> Self {
        let mut raw = Self::default();
        let mut root = Section::root(root);
        let node = root.table(reader, "node", "node");
        raw.node(reader, node);
        let relay = root.table(reader, "relay", "relay");
        raw.relay(reader, relay);
        let turn = root.table(reader, "turn", "turn");
        raw.turn.read(reader, turn);
        let mut http = root.table(reader, "http", "http");
        raw.http_listen = http.value(reader, "listen", read::http_listen);
        http.end(reader);
        raw.media = RawMedia::read(reader, &mut root);
        let mut log = root.table(reader, "log", "log");
        raw.log_level = log.value(reader, "level", read::log_level);
        raw.log_format = log.value(reader, "format", read::log_format);
        raw.log_redact = log.value(reader, "redact", read::boolean);
        log.end(reader);
        root.end(reader);
        raw
    }

    fn node(&mut self, reader: &mut Reader, mut node: Section<'_, '_>) {
        self.state_dir = node.value(reader, "state_dir", read::absolute_path);
        self.run_dir = node.value(reader, "run_dir", read::absolute_path);
        self.user = node.value(reader, "user", read::account);
        node.end(reader);
    }

    fn relay(&mut self, reader: &mut Reader, mut relay: Section<'_, '_>) {
        self.interfaces = if relay.is_list("interfaces") {
            let right = "write a list of names, as in [\"eth0\"]";
            let names = relay.list(reader, "interfaces", limits::INTERFACES_MAX, right, read::interface);
            names.map(Interfaces::Named)
        } else {
            relay.value(reader, "interfaces", |value| {
                read::auto(value, "write \"auto\" or a list of names, as in [\"eth0\"]").map(|()| Interfaces::Auto)
            })
        };
        self.xdp = relay.value(reader, "xdp", read::xdp);
        self.workers = if relay.is_list("workers") {
            let right = "write a list of core numbers, as in [0, 1]";
            let core = |value: &_| read::number_u32(value, 0..=u16::MAX.into(), " a core").map(|core| core as u16);
            relay.list(reader, "workers", limits::WORKERS_MAX, right, core).map(Workers::Cores)
        } else {
            relay.value(reader, "workers", read::workers)
        };
        self.flows_max = relay.value(reader, "flows_max", |v| read::number_u32(v, limits::FLOWS, " flows"));
        self.pin_dir = relay.value(reader, "pin_dir", read::absolute_path);
        relay.end(reader);
    }
}

impl RawTurn {
    fn read(&mut self, reader: &mut Reader, mut turn: Section<'_, '_>) {
        let right = "write a list, as in [\"192.0.2.1:3478\"]";
        self.listen = turn.list(reader, "listen", limits::LISTEN_MAX, right, read::socket_address);
        self.realm = turn.value(reader, "realm", read::realm);
        let right = "write a list, as in [\"192.0.2.1\", \"2001:db8::1\"]";
        self.relay_addresses = turn.list(reader, "relay_addresses", limits::RELAY_ADDRESSES_MAX, right, read::address);
        let right = "write a table, as in { \"10.0.0.1\" = \"203.0.113.7\" }";
        self.external_addresses =
            turn.pairs(reader, "external_addresses", limits::RELAY_ADDRESSES_MAX, right, read::external);
        self.port_range = turn.value(reader, "port_range", read::port_range);
        let lifetime = |value: &_| read::number_u32(value, limits::LIFETIME_S, " seconds");
        self.lifetime_default_s = turn.value(reader, "lifetime_default_s", lifetime);
        self.lifetime_max_s = turn.value(reader, "lifetime_max_s", lifetime);
        self.software = turn.value(reader, "software", read::boolean);
        self.nonce_lifetime_s = turn
            .value(reader, "nonce_lifetime_s", |value| read::number_u32(value, limits::NONCE_LIFETIME_S, " seconds"));
        let auth = turn.table(reader, "auth", "turn.auth");
        self.auth(reader, auth);
        let policy = turn.table(reader, "policy", "turn.policy");
        self.policy(reader, policy);
        turn.end(reader);
    }

    fn auth(&mut self, reader: &mut Reader, mut auth: Section<'_, '_>) {
        self.users = auth.pairs(reader, "users", limits::USERS_MAX, read::USERS_RIGHT, read::user);
        self.shared_secrets =
            auth.list(reader, "shared_secrets", limits::SHARED_SECRETS_MAX, read::SECRETS_RIGHT, read::shared_secret);
        auth.end(reader);
    }

    fn policy(&mut self, reader: &mut Reader, mut policy: Section<'_, '_>) {
        let mut networks = |reader: &mut Reader, key| {
            policy.list(reader, key, limits::PEER_NETWORKS_MAX, read::NETWORKS_RIGHT, read::network)
        };
        self.allow_peers = networks(reader, "allow_peers");
        self.deny_peers = networks(reader, "deny_peers");
        let mut quota = |reader: &mut Reader, key| {
            policy.value(reader, key, |value| read::number_u32(value, 0..=limits::QUOTA_MAX, " allocations"))
        };
        self.quota_per_user = quota(reader, "quota_per_user");
        self.quota_total = quota(reader, "quota_total");
        self.flows_per_user =
            policy.value(reader, "flows_per_user", |value| read::number_u32(value, 0..=*limits::FLOWS.end(), " flows"));
        self.bits_per_second_per_allocation = policy.value(reader, "bits_per_second_per_allocation", |value| {
            read::number(value, 0..=1 << 40, " bits a second")
        });
        self.unauthenticated_octets_per_second = policy.value(reader, "unauthenticated_octets_per_second", |value| {
            read::number(value, 0..=1_000_000_000, " octets a second")
        });
        self.stun_requests_per_second = policy.value(reader, "stun_requests_per_second", |value| {
            read::number_u32(value, 0..=1_000_000_000, " requests a second")
        });
        policy.end(reader);
    }
}
