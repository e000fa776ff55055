//! Reading a configuration.

use std::hint::black_box;

use super::{Scenario, scenario};

/// A text of its own: words in docs/raceway.toml may change without anything costing more.
const TEXT: &str = r#"
[node]
run_dir = "/run/raceway"

[relay]
interfaces = ["eth0", "eth1"]
xdp = "native"
workers = [2, 3]
flows_max = 200000

[turn]
listen = ["192.0.2.1:3478", "[2001:db8::1]:3478"]
realm = "example.org"
relay_addresses = ["192.0.2.1", "2001:db8::1"]
port_range = "49152-65535"
lifetime_default_s = 600

[turn.auth]
users = { alice = "wonderland", bob = "builder" }
shared_secrets = ["a shared secret of usual length"]

[turn.policy]
deny_peers = ["203.0.113.0/24"]
quota_per_user = 20

[http]
listen = "127.0.0.1:9640"

[log]
level = "info"
"#;

pub(super) fn all() -> Vec<Scenario> {
    vec![scenario("config: read a file of 30 lines", |_| {
        Box::new(|| {
            let config = raceway_config::parse("raceway.toml", black_box(TEXT));
            assert!(black_box(config).is_ok());
        })
    })]
}
