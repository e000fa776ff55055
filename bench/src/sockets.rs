//! What the kernel keeps for a socket that nothing comes to: `raceway-bench sockets`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

/// Sockets that are opened, so many that slabs are told from what they are cut of.
const SOCKETS: u16 = 8_000;
/// Port of the first.
const FIRST_PORT: u16 = 20_000;
/// Objects that are shown: those of which at least every second socket has one.
const SHARE: f64 = 0.4;

/// Objects and octets of each, by slab.
type Slabs = BTreeMap<String, (i64, i64)>;

/// Opens sockets, then receives from each as workers do, and prints what either took of the kernel, for each.
pub fn run() -> Result<()> {
    let before = slabs()?;
    let bind = |n| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), FIRST_PORT + n));
    let sockets: Vec<UdpSocket> = (0..SOCKETS).map(bind).collect::<Result<_, _>>().context("sockets")?;
    let open = slabs()?;
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(1024).context("io_uring")?;
    let mut header = libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 28,
        msg_iov: std::ptr::null_mut(),
        msg_iovlen: 0,
        msg_control: std::ptr::null_mut(),
        msg_controllen: 64,
        msg_flags: 0,
    };
    for socket in &sockets {
        let entry = opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), &raw mut header, 0).build();
        // SAFETY: the header lives until the ring is gone, and has no memory in it; nothing is sent to these sockets.
        while unsafe { ring.submission().push(&entry) }.is_err() {
            ring.submit()?;
        }
    }
    ring.submit()?;
    let received_from = slabs()?;
    told("A UDP socket that is bound", &before, &open);
    told("Receiving from it by io_uring (a multishot recvmsg that waits)", &open, &received_from);
    drop(ring);
    Ok(())
}

fn told(what: &str, before: &Slabs, after: &Slabs) {
    let mut sum = 0.0;
    println!("{what}:");
    for (name, (objects, octets)) in after {
        let more = (objects - before.get(name).map_or(0, |(objects, _)| *objects)) as f64 / f64::from(SOCKETS);
        if more.abs() >= SHARE {
            println!("  {name:<24} {more:>5.2} x {octets:>5} octets");
            sum += more * *octets as f64;
        }
    }
    println!("  together {sum:.0} octets");
}

/// Slabs of this machine, others' objects too.
fn slabs() -> Result<Slabs> {
    let text = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo is root's to read")?;
    let slab = |line: &str| {
        let mut fields = line.split_whitespace();
        let (name, objects) = (fields.next()?, fields.next()?.parse().ok()?);
        Some((name.to_owned(), (objects, fields.nth(1)?.parse().ok()?)))
    };
    Ok(text.lines().skip(2).filter_map(slab).collect())
}
