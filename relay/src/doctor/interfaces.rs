//! Drivers, XDP modes, queues, MTU, rings.

use super::{Check, read};

/// Drivers with XDP in the driver in Linux 6.1, and the largest MTU each takes with one buffer a frame.
const NATIVE: [(&str, u32); 17] = [
    ("veth", 3498),
    ("virtio_net", 3506),
    ("i40e", 3046),
    ("ice", 3046),
    ("ixgbe", 3046),
    ("ixgbevf", 3046),
    ("igb", 3046),
    ("igc", 3046),
    ("mlx5_core", 3498),
    ("mlx4_en", 3498),
    ("bnxt_en", 3498),
    ("ena", 3498),
    ("nfp", 3498),
    ("qede", 3498),
    ("sfc", 3498),
    ("hv_netvsc", 3498),
    ("tun", 3498),
];

pub fn checks(name: &str, xdp_wanted: bool) -> Vec<Check> {
    let base = format!("/sys/class/net/{name}");
    let label = |what: &str| format!("{name} {what}");
    let Some(mtu) = read(&format!("{base}/mtu")).and_then(|text| text.parse::<u32>().ok()) else {
        return vec![unseen(label("link"), nix::net::if_::if_nametoindex(name).is_ok())];
    };
    let mut checks = vec![link(label("link"), &read(&format!("{base}/operstate")).unwrap_or_default())];
    if xdp_wanted {
        checks.push(driver(label("driver"), &driver_of(&base), mtu));
    }
    checks.push(queues(label("queues"), &base));
    checks
}

/// An interface that /sys does not show.
fn unseen(label: String, exists: bool) -> Check {
    if exists {
        let advice = "mount -t sysfs sysfs /sys in this namespace, and doctor sees more";
        Check::advise(label, "present, but /sys is that of another network namespace", advice)
    } else {
        Check::fail(label, "no such interface", "correct [relay] interfaces")
    }
}

fn driver_of(base: &str) -> String {
    let module = std::fs::read_link(format!("{base}/device/driver"));
    let named = module.ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    named.unwrap_or_else(|| virtual_kind(base))
}

/// Software devices have no `device` link; the kernel names their kind in `uevent`, and veth by what it lacks.
fn virtual_kind(base: &str) -> String {
    let uevent = read(&format!("{base}/uevent")).unwrap_or_default();
    if let Some(kind) = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")) {
        return kind.to_owned();
    }
    let paired = read(&format!("{base}/iflink")) != read(&format!("{base}/ifindex"));
    if paired { "veth".to_owned() } else { "unknown".to_owned() }
}

fn link(label: String, state: &str) -> Check {
    match state {
        "down" | "lowerlayerdown" => Check::advise(label, state, "ip link set it up; nothing arrives until then"),
        _ => Check::ok(label, if state.is_empty() { "present" } else { state }),
    }
}

fn driver(label: String, driver: &str, mtu: u32) -> Check {
    match NATIVE.iter().find(|(name, _)| *name == driver) {
        Some((_, largest)) if mtu > *largest => Check::advise(
            label,
            format!("{driver}, MTU {mtu}: too large for XDP in the driver"),
            format!("set the MTU to {largest} or less, or accept generic XDP"),
        ),
        Some(_) => Check::ok(label, format!("{driver}, MTU {mtu}: native XDP")),
        None => Check::advise(
            label,
            format!("{driver}, MTU {mtu}: not known for XDP in the driver"),
            "expect generic XDP or workers only; `racewayctl status` says which it became",
        ),
    }
}

fn queues(label: String, base: &str) -> Check {
    let count = |kind: &str| {
        let entries = std::fs::read_dir(format!("{base}/queues")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(kind)).count()
    };
    let (receive, transmit) = (count("rx-"), count("tx-"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if receive >= cores || receive == 0 {
        Check::ok(label, format!("{receive} receive, {transmit} transmit"))
    } else {
        Check::advise(
            label,
            format!("{receive} receive, {transmit} transmit for {cores} cores"),
            "ethtool -L to give each core a queue, if the device has more",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_jumbo_mtu_is_named_with_the_largest_that_works() {
        let check = driver("eth0 driver".into(), "veth", 9000);
        assert_eq!(check.verdict, Verdict::Advise);
        assert!(check.advice.expect("advised").contains("3498"));
        assert_eq!(driver("eth0 driver".into(), "veth", 1500).verdict, Verdict::Ok);
    }

    #[test]
    fn an_interface_that_is_not_there_fails() {
        assert_eq!(checks("no-such-if", true)[0].verdict, Verdict::Fail);
    }
}
