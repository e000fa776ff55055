//! Whether the far end of a veth link has an XDP program in its driver.
//!
//! Only then do frames that veth sends by `XDP_TX` arrive, and they are cheaper than redirected ones. The far end is
//! mostly in another network namespace; the kernel answers for that too, if we may administer it.

use std::io;

use nix::net::if_::if_nametoindex;
use raceway_sys::netlink::device;

/// Whether the far end of this veth has a program in its driver. False when that cannot be found out.
pub(super) fn has_program(interface: &str) -> bool {
    ask(interface).unwrap_or(false)
}

fn ask(interface: &str) -> io::Result<bool> {
    let near = device(if_nametoindex(interface)?, None)?;
    let Some((ifindex, namespace)) = near.far_end else { return Ok(false) };
    Ok(device(ifindex, namespace)?.has_driver_program)
}
