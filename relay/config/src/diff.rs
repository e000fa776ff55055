//! What a new configuration changes, and when that takes effect.

use core::fmt;

use crate::diff_media;
use crate::{Config, Interfaces, Workers};

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once; sessions go on.
    Live,
    /// For allocations made from now on; those that exist stay as they are.
    NewAllocations,
    /// For calls made from now on; those that exist stay as they are.
    NewCalls,
    /// When raceway-control is started again (sessions go on meanwhile).
    RestartControl,
    /// When raceway-relay is started again (flows in XDP go on meanwhile).
    RestartRelay,
    /// When both are started again.
    RestartBoth,
}

impl Effect {
    /// Whether nothing needs to be started again.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::NewAllocations | Self::NewCalls)
    }

    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Live => "applied",
            Self::NewAllocations => "applied to new allocations",
            Self::NewCalls => "applied to new calls",
            Self::RestartControl => "needs a restart of raceway-control",
            Self::RestartRelay => "needs a restart of raceway-relay",
            Self::RestartBoth => "needs a restart of raceway-relay and raceway-control",
        }
    }
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Dotted key.
    pub key: &'static str,
    /// Value before; a count in place of secrets.
    pub from: String,
    /// Value after; a count in place of secrets.
    pub to: String,
    /// When it takes effect.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            return write!(f, "{}: {}, changed ({})", self.key, self.to, self.effect.describe());
        }
        write!(f, "{}: {} -> {} ({})", self.key, self.from, self.to, self.effect.describe())
    }
}

pub(crate) struct Changes(Vec<Change>);

impl Changes {
    pub(crate) fn compare<T: PartialEq>(
        &mut self,
        key: &'static str,
        effect: Effect,
        (from, to): (&T, &T),
        show: impl Fn(&T) -> String,
    ) {
        if from != to {
            self.0.push(Change { key, from: show(from), to: show(to), effect });
        }
    }
}

pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

pub(crate) fn optional<T>(value: Option<&T>, show: impl Fn(&T) -> String) -> String {
    value.map_or_else(|| "default".to_owned(), show)
}

/// Every key that differs from `old` to `new`, in the order of the commented example.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Changes(Vec::new());
    node_and_relay(&mut changes, old, new);
    addresses(&mut changes, old, new);
    rules(&mut changes, old, new);
    let (a, b) = (&old.http, &new.http);
    changes.compare("http.listen", Effect::RestartControl, (&a.listen, &b.listen), |l| {
        l.map_or_else(|| "off".to_owned(), |l| l.to_string())
    });
    diff_media::diff(&mut changes, old, new);
    let (a, b) = (&old.log, &new.log);
    changes.compare("log.level", Effect::Live, (&a.level, &b.level), |l| l.as_str().to_owned());
    changes.compare("log.format", Effect::RestartBoth, (&a.format, &b.format), debug);
    changes.compare("log.redact", Effect::RestartBoth, (&a.redact, &b.redact), debug);
    changes.0
}

pub(crate) fn debug<T: fmt::Debug>(value: &T) -> String {
    format!("{value:?}").to_lowercase()
}

fn node_and_relay(changes: &mut Changes, old: &Config, new: &Config) {
    let path = |path: &Option<std::path::PathBuf>| optional(path.as_ref(), |path| path.display().to_string());
    let (a, b) = (&old.node, &new.node);
    changes.compare("node.state_dir", Effect::RestartControl, (&a.state_dir, &b.state_dir), path);
    changes.compare("node.run_dir", Effect::RestartBoth, (&a.run_dir, &b.run_dir), path);
    changes.compare("node.user", Effect::RestartBoth, (&a.user, &b.user), |u| optional(u.as_ref(), Clone::clone));
    let (a, b) = (&old.relay, &new.relay);
    changes.compare("relay.interfaces", Effect::RestartRelay, (&a.interfaces, &b.interfaces), |names| match names {
        Interfaces::Auto => "auto".to_owned(),
        Interfaces::Named(names) => list(names),
    });
    changes.compare("relay.xdp", Effect::RestartRelay, (&a.xdp, &b.xdp), debug);
    changes.compare("relay.workers", Effect::RestartRelay, (&a.workers, &b.workers), |workers| match workers {
        Workers::Auto => "auto".to_owned(),
        Workers::Cores(cores) => list(cores),
    });
    changes.compare("relay.flows_max", Effect::RestartRelay, (&a.flows_max, &b.flows_max), debug);
    changes.compare("relay.pin_dir", Effect::RestartRelay, (&a.pin_dir, &b.pin_dir), |path| path.display().to_string());
}

fn addresses(changes: &mut Changes, old: &Config, new: &Config) {
    let (a, b) = (&old.turn, &new.turn);
    let keeps_all = a.listen.iter().all(|address| b.listen.contains(address));
    let effect = if keeps_all { Effect::Live } else { Effect::RestartControl };
    changes.compare("turn.listen", effect, (&a.listen, &b.listen), |l| list(l));
    changes.compare("turn.realm", Effect::Live, (&a.realm, &b.realm), |r| optional(r.as_ref(), Clone::clone));
    changes.compare(
        "turn.relay_addresses",
        Effect::NewAllocations,
        (&a.relay_addresses, &b.relay_addresses),
        |addresses| optional(addresses.as_ref(), |addresses| list(addresses)),
    );
    changes.compare(
        "turn.external_addresses",
        Effect::NewAllocations,
        (&a.external_addresses, &b.external_addresses),
        |external| list(&external.iter().map(|(a, b)| format!("{a} = {b}")).collect::<Vec<_>>()),
    );
    let wider = b.port_range.first <= a.port_range.first && a.port_range.last <= b.port_range.last;
    let effect = if wider { Effect::NewAllocations } else { Effect::RestartControl };
    changes.compare("turn.port_range", effect, (&a.port_range, &b.port_range), ToString::to_string);
}

fn rules(changes: &mut Changes, old: &Config, new: &Config) {
    let (a, b) = (&old.turn, &new.turn);
    let seconds = |duration: &core::time::Duration| duration.as_secs().to_string();
    changes.compare("turn.lifetime_default_s", Effect::Live, (&a.lifetime_default, &b.lifetime_default), seconds);
    changes.compare("turn.lifetime_max_s", Effect::Live, (&a.lifetime_max, &b.lifetime_max), seconds);
    changes.compare("turn.software", Effect::Live, (&a.software, &b.software), debug);
    changes.compare("turn.nonce_lifetime_s", Effect::Live, (&a.nonce_lifetime, &b.nonce_lifetime), seconds);
    let (a, b) = (&old.turn.auth, &new.turn.auth);
    changes.compare("turn.auth.users", Effect::Live, (&a.users, &b.users), |users| count(users.len(), "user"));
    changes.compare("turn.auth.shared_secrets", Effect::Live, (&a.shared_secrets, &b.shared_secrets), |secrets| {
        count(secrets.len(), "secret")
    });
    let (a, b) = (&old.turn.policy, &new.turn.policy);
    changes.compare("turn.policy.allow_peers", Effect::Live, (&a.allow_peers, &b.allow_peers), |n| list(n));
    changes.compare("turn.policy.deny_peers", Effect::Live, (&a.deny_peers, &b.deny_peers), |n| list(n));
    let number = |number: &Option<u32>| optional(number.as_ref(), u32::to_string);
    changes.compare("turn.policy.quota_per_user", Effect::Live, (&a.quota_per_user, &b.quota_per_user), number);
    changes.compare("turn.policy.quota_total", Effect::Live, (&a.quota_total, &b.quota_total), debug);
    changes.compare("turn.policy.flows_per_user", Effect::Live, (&a.flows_per_user, &b.flows_per_user), number);
    changes.compare(
        "turn.policy.bits_per_second_per_allocation",
        Effect::Live,
        (&a.bits_per_second_per_allocation, &b.bits_per_second_per_allocation),
        debug,
    );
    changes.compare(
        "turn.policy.unauthenticated_octets_per_second",
        Effect::Live,
        (&a.unauthenticated_octets_per_second, &b.unauthenticated_octets_per_second),
        debug,
    );
    changes.compare(
        "turn.policy.stun_requests_per_second",
        Effect::Live,
        (&a.stun_requests_per_second, &b.stun_requests_per_second),
        debug,
    );
}
