//! Kernel, rights, limits, clock, sysctls.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Check, Subject, read};

/// io_uring with deferred task run, which the workers use.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Descriptors that a relay holds beside one for each allocation.
const FILES_BESIDE: u64 = 256;
/// A record, its policer, and its entries in both indexes.
const FLOW_OCTETS: u64 = (size_of::<raceway_abi::Flow>() + size_of::<raceway_abi::Policer>() + 96 + 8) as u64;
const CAPABILITIES: [(u32, &str); 3] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];
const CAP_SYS_ADMIN: u32 = 21;
/// 2020-01-01: an earlier wall clock was never set.
const PLAUSIBLE_UNIX_S: u64 = 1_577_836_800;

pub fn checks(subject: &Subject) -> Vec<Check> {
    let sysctl = |name: &str| read(&format!("/proc/sys/{}", name.replace('.', "/")));
    let number = |name: &str| sysctl(name).and_then(|text| text.parse::<u64>().ok());
    let mut checks = vec![
        kernel(&read("/proc/sys/kernel/osrelease").unwrap_or_default()),
        io_uring(number("kernel.io_uring_disabled")),
    ];
    if subject.xdp_wanted {
        checks.push(rights(&read("/proc/self/status").unwrap_or_default()));
        checks.push(bpffs(&subject.pin_dir, &read("/proc/mounts").unwrap_or_default()));
        checks.push(jit(number("net.core.bpf_jit_enable")));
    }
    checks.push(open_files(&read("/proc/self/limits").unwrap_or_default(), relayed(subject)));
    checks.push(memory(&read("/proc/meminfo").unwrap_or_default(), subject.flows_max));
    checks.push(clock_source(read("/sys/devices/system/clocksource/clocksource0/current_clocksource")));
    checks.push(wall_clock(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())));
    checks.push(at_least("net.core.rmem_max", number("net.core.rmem_max"), 4 << 20));
    checks.push(at_least("net.core.wmem_max", number("net.core.wmem_max"), 4 << 20));
    checks.push(at_least("net.core.netdev_max_backlog", number("net.core.netdev_max_backlog"), 10_000));
    checks.push(ports(
        &sysctl("net.ipv4.ip_local_port_range").unwrap_or_default(),
        &sysctl("net.ipv4.ip_local_reserved_ports").unwrap_or_default(),
        subject,
    ));
    checks.push(conntrack(number("net.netfilter.nf_conntrack_max"), relayed(subject)));
    checks
}

fn relayed(subject: &Subject) -> u64 {
    u64::from(subject.relay_ports.end() - subject.relay_ports.start()) + 1
}

fn kernel(release: &str) -> Check {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= KERNEL_MIN {
        Check::ok("kernel", release)
    } else {
        let (major, minor) = KERNEL_MIN;
        Check::fail("kernel", release, format!("run Linux {major}.{minor} or newer: the workers' io_uring needs it"))
    }
}

fn io_uring(disabled: Option<u64>) -> Check {
    match disabled {
        None | Some(0) => Check::ok("io_uring", "allowed"),
        Some(1) => Check::advise(
            "io_uring",
            "kernel.io_uring_disabled = 1: only for privileged processes",
            "sysctl -w kernel.io_uring_disabled=0, or start the relay as root; without it recvmmsg and sendmmsg",
        ),
        Some(_) => Check::advise(
            "io_uring",
            "kernel.io_uring_disabled = 2: for nobody",
            "sysctl -w kernel.io_uring_disabled=0; without it the workers use recvmmsg and sendmmsg",
        ),
    }
}

fn rights(status: &str) -> Check {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| held >> bit & 1 == 1;
    let missing: Vec<_> =
        CAPABILITIES.iter().filter(|(bit, _)| !has(*bit) && !has(CAP_SYS_ADMIN)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        Check::ok("rights", "enough to load and attach XDP")
    } else {
        Check::advise(
            "rights",
            format!("missing {}", missing.join(", ")),
            "start the relay as root, or give it these capabilities (docs/operations.md); without them workers carry all",
        )
    }
}

fn bpffs(pin_dir: &Path, mounts: &str) -> Check {
    let at = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (mount, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "bpf" && pin_dir.starts_with(mount)).then_some(mount)
        })
        .max_by_key(|mount| mount.len());
    match at {
        Some(mount) => Check::ok("bpffs", format!("mounted at {mount}")),
        None => Check::advise(
            "bpffs",
            format!("no bpffs holds {}", pin_dir.display()),
            "mount -t bpf bpf /sys/fs/bpf (the relay does so itself when it may); without it XDP stops with the relay",
        ),
    }
}

fn jit(enabled: Option<u64>) -> Check {
    match enabled {
        Some(0) => Check::advise("bpf jit", "off: XDP is interpreted", "sysctl -w net.core.bpf_jit_enable=1"),
        Some(_) | None => Check::ok("bpf jit", "on"),
    }
}

fn open_files(limits: &str, relayed: u64) -> Check {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |hard| hard.parse().unwrap_or(u64::MAX));
    let wanted = relayed + FILES_BESIDE;
    if hard >= wanted {
        Check::ok("open files", format!("up to {hard}"))
    } else {
        Check::advise(
            "open files",
            format!("at most {hard}; {relayed} relayed addresses want {wanted}"),
            format!("ulimit -Hn {wanted}, or LimitNOFILE={wanted} in the unit; beyond it clients get 508"),
        )
    }
}

fn memory(meminfo: &str, flows_max: u32) -> Check {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map(|kib| kib << 10);
    let wanted = u64::from(flows_max) * FLOW_OCTETS;
    match available {
        Some(available) if available < 2 * wanted => Check::advise(
            "memory",
            format!("{} MiB available, the flow table takes {} MiB", available >> 20, wanted >> 20),
            "lower [relay] flows_max, or add memory",
        ),
        Some(_) | None => Check::ok("memory", format!("the flow table takes {} MiB", wanted >> 20)),
    }
}

fn clock_source(current: Option<String>) -> Check {
    match current.as_deref() {
        Some(slow @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies")) => Check::advise(
            "clock source",
            format!("{slow}: a clock read is a trap or an I/O access"),
            "boot with tsc, or use the hypervisor's clock",
        ),
        Some(other) => Check::ok("clock source", other),
        None => Check::ok("clock source", "not shown by this kernel"),
    }
}

fn wall_clock(unix_s: u64) -> Check {
    if unix_s >= PLAUSIBLE_UNIX_S {
        Check::ok("wall clock", "set")
    } else {
        Check::fail(
            "wall clock",
            "before 2020",
            "set it (timedatectl, chrony): credentials that carry a date are judged by it",
        )
    }
}

fn at_least(name: &str, found: Option<u64>, wanted: u64) -> Check {
    match found {
        Some(found) if found < wanted => Check::advise(
            name,
            found.to_string(),
            format!("sysctl -w {name}={wanted}: bursts drop in the socket below it"),
        ),
        Some(found) => Check::ok(name, found.to_string()),
        None => Check::ok(name, "not settable here (a network namespace of its own)"),
    }
}

fn ports(local_range: &str, reserved: &str, subject: &Subject) -> Check {
    let (first, last) = (*subject.relay_ports.start(), *subject.relay_ports.end());
    let mut bounds = local_range.split_whitespace().filter_map(|n| n.parse::<u16>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else {
        return Check::ok("relay ports", format!("{first}-{last}"));
    };
    let overlap = low <= last && first <= high;
    if !overlap || reserved.split(',').any(|range| range == format!("{first}-{last}")) {
        return Check::ok("relay ports", format!("{first}-{last}"));
    }
    Check::advise(
        "relay ports",
        format!("{first}-{last} overlap the host's own outgoing ports {low}-{high}"),
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={first}-{last}: then the host never takes one of them"),
    )
}

fn conntrack(max: Option<u64>, relayed: u64) -> Check {
    match max {
        Some(max) if max < 4 * relayed => Check::advise(
            "conntrack",
            format!("tracks at most {max} connections"),
            format!(
                "exempt the relay's ports (nft: notrack), or sysctl -w net.netfilter.nf_conntrack_max={}",
                4 * relayed
            ),
        ),
        Some(max) => Check::ok("conntrack", format!("up to {max} connections")),
        None => Check::ok("conntrack", "not loaded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn subject() -> Subject {
        Subject {
            interfaces: vec![],
            xdp_wanted: true,
            pin_dir: "/sys/fs/bpf/raceway".into(),
            relay_ports: 49152..=65535,
            flows_max: 1000,
        }
    }

    #[test]
    fn an_old_kernel_fails_and_a_suffix_does_not_confuse() {
        assert_eq!(kernel("5.10.0-28-amd64").verdict, Verdict::Fail);
        assert_eq!(kernel("6.1.0-28-amd64").verdict, Verdict::Ok);
        assert_eq!(kernel("6.18.44+").verdict, Verdict::Ok);
        assert_eq!(kernel("").verdict, Verdict::Fail);
    }

    #[test]
    fn missing_capabilities_are_named() {
        let some = rights("Name:\tx\nCapEff:\t0000000000001000\n");
        assert_eq!(some.found, "missing CAP_BPF, CAP_NET_RAW");
        assert_eq!(rights("CapEff:\t000001ffffffffff\n").verdict, Verdict::Ok);
        assert_eq!(rights("").found, "missing CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW");
    }

    #[test]
    fn only_a_bpffs_above_the_pin_directory_counts() {
        let pin = Path::new("/sys/fs/bpf/raceway");
        assert_eq!(bpffs(pin, "none /sys/fs/bpf bpf rw 0 0").verdict, Verdict::Ok);
        assert_eq!(bpffs(pin, "none /sys/fs/bpf tmpfs rw 0 0\nnone /mnt bpf rw 0 0").verdict, Verdict::Advise);
    }

    #[test]
    fn the_hard_limit_of_open_files_decides() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files";
        assert_eq!(open_files(limits, 16384).verdict, Verdict::Advise);
        assert_eq!(open_files(limits, 1000).verdict, Verdict::Ok);
    }

    #[test]
    fn a_flow_table_that_would_fill_memory_is_pointed_out() {
        assert_eq!(memory("MemAvailable:  4096 kB", 1 << 20).verdict, Verdict::Advise);
        assert_eq!(memory("MemAvailable:  8388608 kB", 1 << 16).verdict, Verdict::Ok);
    }

    #[test]
    fn an_overlap_with_outgoing_ports_is_fine_once_reserved() {
        assert_eq!(ports("32768\t60999", "", &subject()).verdict, Verdict::Advise);
        assert_eq!(ports("32768\t60999", "49152-65535", &subject()).verdict, Verdict::Ok);
        assert_eq!(ports("10000\t20000", "", &subject()).verdict, Verdict::Ok);
    }
}
