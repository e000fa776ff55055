//! Interfaces: which there are, and how the program gets onto them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode as KernelMode};
use aya::programs::{ProgramError, Xdp as Program, loaded_programs};
use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use raceway_api::XdpMode;
use raceway_sys::bpf::{XdpLinkInfo, open_pinned, xdp_link_info};

use super::pins::{list, unpin_link};
use super::probe::{self, is_veth};
use super::{PROBE, PROGRAM, XdpError, XdpInterface, XdpModeWish, XdpOptions, egress, program};

/// Attaches to every interface wanted, keeps links that an earlier relay left there, and removes other ones.
pub(super) fn all(object: &mut Ebpf, directory: &Path, options: &XdpOptions) -> Result<Vec<XdpInterface>, XdpError> {
    let names = if options.interfaces.is_empty() { up()? } else { options.interfaces.clone() };
    let vlans = egress::vlans();
    let mut pinned = pinned_links(directory)?;
    let mut interfaces = Vec::new();
    for name in names {
        let ifindex = if_nametoindex(name.as_str()).unwrap_or(0);
        let got = if let Some(vlan) = vlans.iter().find(|vlan| vlan.name == name) {
            off(ifindex, format!("its frames are seen on {}, where they carry their tag", vlan.parent))
        } else if ifindex == 0 {
            off(ifindex, "there is no such interface".to_owned())
        } else {
            one(object, directory, options.mode, &name, ifindex, pinned.remove(&ifindex))?
        };
        interfaces.push(warned(XdpInterface { name, ..got }));
    }
    pinned.into_values().try_for_each(|link| unpin_link(&link.path))?;
    Ok(interfaces)
}

/// Keeps the link of an earlier relay if it is of a mode wished for, else attaches.
fn one(
    object: &mut Ebpf,
    directory: &Path,
    wish: XdpModeWish,
    name: &str,
    ifindex: u32,
    pinned: Option<PinnedXdp>,
) -> Result<XdpInterface, XdpError> {
    match pinned {
        Some(link) if wants(wish, link.mode) => {
            let got = adopt(program(object, PROGRAM)?, &link)?;
            // What kept it out of the driver is not known; the next look tells.
            let deaf = wish == XdpModeWish::Auto && got.mode == XdpMode::Generic && is_veth(name);
            Ok(XdpInterface { deaf, ..got })
        }
        left => {
            left.iter().try_for_each(|link| unpin_link(&link.path))?;
            let matters = wish != XdpModeWish::Generic && is_veth(name);
            let deaf = matters && !probe::arrives(program(object, PROBE)?, name, ifindex);
            Ok(attach(program(object, PROGRAM)?, directory, ifindex, wish, deaf))
        }
    }
}

/// A link that is pinned, by the name of its pin: mode and interface index.
struct PinnedXdp {
    path: PathBuf,
    mode: XdpMode,
    info: XdpLinkInfo,
}

/// Links that are pinned and still on an interface; pins of other ones are removed.
fn pinned_links(directory: &Path) -> Result<HashMap<u32, PinnedXdp>, XdpError> {
    let mut links = HashMap::new();
    for path in list(directory)? {
        let Some((mode, ifindex)) = path.file_name().and_then(|name| parse_pin(name.to_str()?)) else { continue };
        let info = open_pinned(&path).and_then(|link| xdp_link_info(link.as_fd()));
        match info {
            Ok(info) if info.ifindex == ifindex => {
                links.insert(ifindex, PinnedXdp { path, mode, info });
            }
            _ => unpin_link(&path)?,
        }
    }
    Ok(links)
}

fn pin_name(mode: XdpMode, ifindex: u32) -> String {
    format!("{}-{ifindex}", mode.label())
}

fn parse_pin(name: &str) -> Option<(XdpMode, u32)> {
    let (label, ifindex) = name.split_once('-')?;
    let mode = [XdpMode::Native, XdpMode::Generic].into_iter().find(|mode| mode.label() == label)?;
    Some((mode, ifindex.parse().ok()?))
}

fn wants(wish: XdpModeWish, mode: XdpMode) -> bool {
    match wish {
        XdpModeWish::Auto => true,
        XdpModeWish::Native => mode == XdpMode::Native,
        XdpModeWish::Generic => mode == XdpMode::Generic,
        XdpModeWish::Off => false,
    }
}

/// Keeps a link. Its program is replaced, in one step and without losing a packet, if it is not this one.
fn adopt(program: &mut Program, link: &PinnedXdp) -> Result<XdpInterface, XdpError> {
    let ours = program.info()?.tag();
    let running = loaded_programs().filter_map(Result::ok).find(|other| other.id() == link.info.program_id);
    let mut reason = "kept from the relay before".to_owned();
    if running.is_none_or(|running| running.tag() != ours) {
        let fd_link = FdLink::from(PinnedLink::from_pin(&link.path).map_err(ProgramError::from_link)?);
        let id = program.attach_to_link(XdpLink::try_from(fd_link).map_err(ProgramError::from_link)?)?;
        // The pin keeps it; our descriptor may go.
        drop(program.take_link(id)?);
        reason.push_str(", with this relay's program");
    }
    Ok(XdpInterface { mode: link.mode, ..off(link.info.ifindex, reason) })
}

/// The error of a link as one of a program.
trait FromLink {
    fn from_link(error: aya::programs::links::LinkError) -> Self;
}

impl FromLink for ProgramError {
    fn from_link(error: aya::programs::links::LinkError) -> Self {
        Self::IOError(io::Error::other(error))
    }
}

/// Tries the modes wished for, best first. Native is passed over, unless it is asked for by name, where frames that it
/// sends would be lost (`deaf`).
fn attach(program: &mut Program, directory: &Path, ifindex: u32, wish: XdpModeWish, deaf: bool) -> XdpInterface {
    let modes: &[XdpMode] = match wish {
        XdpModeWish::Auto => &[XdpMode::Native, XdpMode::Generic],
        XdpModeWish::Native => &[XdpMode::Native],
        XdpModeWish::Generic => &[XdpMode::Generic],
        XdpModeWish::Off => &[],
    };
    let mut refused = Vec::new();
    for &mode in modes {
        if deaf && mode == XdpMode::Native && wish == XdpModeWish::Auto {
            refused.push(DEAF.to_owned());
            continue;
        }
        match attach_as(program, directory, ifindex, mode) {
            Ok(()) => {
                let reason = match (mode, refused.is_empty()) {
                    (XdpMode::Native, _) => in_driver(deaf),
                    (_, true) => "as configured".to_owned(),
                    (_, false) => refused.join("; "),
                };
                return XdpInterface { mode, deaf, ..off(ifindex, reason) };
            }
            Err(why) => refused.push(format!("{}: {why}", mode.label())),
        }
    }
    XdpInterface { deaf, ..off(ifindex, refused.join("; ")) }
}

/// Attaches anew to a veth whose far end has become deaf, or is not deaf any more. Between the two links its packets are
/// the workers'.
pub(super) fn renew(
    program: &mut Program,
    directory: &Path,
    wish: XdpModeWish,
    interface: &mut XdpInterface,
    deaf: bool,
) -> Result<(), XdpError> {
    if wish != XdpModeWish::Auto {
        interface.deaf = deaf;
        interface.reason = in_driver(deaf);
        return Ok(());
    }
    if interface.mode != XdpMode::Off {
        unpin_link(&directory.join(pin_name(interface.mode, interface.ifindex)))?;
    }
    let got = attach(program, directory, interface.ifindex, wish, deaf);
    *interface = warned(XdpInterface { name: std::mem::take(&mut interface.name), ..got });
    Ok(())
}

fn in_driver(deaf: bool) -> String {
    if deaf { DEAF } else { "in the driver" }.to_owned()
}

/// What [`probe`] found out, and what to do.
const DEAF: &str = "native: the far end of this veth loses what XDP sends (`ethtool -K DEVICE gro on` there helps)";

fn off(ifindex: u32, reason: String) -> XdpInterface {
    XdpInterface { name: String::new(), ifindex, mode: XdpMode::Off, reason, deaf: false }
}

fn attach_as(program: &mut Program, directory: &Path, ifindex: u32, mode: XdpMode) -> Result<(), String> {
    let kernel_mode = if mode == XdpMode::Native { KernelMode::Driver } else { KernelMode::Skb };
    let id = program.attach_to_if_index(ifindex, kernel_mode).map_err(|error| explain(&error))?;
    let link = program.take_link(id).map_err(|error| error.to_string())?;
    let link = FdLink::try_from(link).map_err(|_| "the kernel has no XDP links (5.9 or later has)".to_owned())?;
    link.pin(directory.join(pin_name(mode, ifindex))).map_err(|error| error.to_string())?;
    Ok(())
}

/// What the kernel's answer to an attach means.
fn explain(error: &ProgramError) -> String {
    let ProgramError::SyscallError(syscall) = error else { return error.to_string() };
    match syscall.io_error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "the driver does not support it".to_owned(),
        Some(libc::EBUSY | libc::EEXIST) => "another XDP program is attached".to_owned(),
        Some(libc::EPERM | libc::EACCES) => "not permitted (CAP_BPF and CAP_NET_ADMIN are needed)".to_owned(),
        Some(libc::ERANGE | libc::EINVAL) => "the driver refuses it, mostly for an MTU or ring size".to_owned(),
        _ => syscall.io_error.to_string(),
    }
}

/// Interfaces that are up and carry Ethernet, loopback not among them.
fn up() -> Result<Vec<String>, XdpError> {
    let mut names = Vec::new();
    for entry in getifaddrs().map_err(|error| XdpError::Interfaces(error.into()))? {
        let ethernet = entry.address.as_ref().and_then(|address| address.as_link_addr()).map(|link| link.hatype());
        let wanted = entry.flags.contains(InterfaceFlags::IFF_UP) && ethernet == Some(libc::ARPHRD_ETHER);
        if wanted && !names.contains(&entry.interface_name) {
            names.push(entry.interface_name);
        }
    }
    Ok(names)
}

/// Says beside the mode what keeps the program from using it.
fn warned(mut interface: XdpInterface) -> XdpInterface {
    if interface.mode != XdpMode::Off
        && let Some(blind) = allow_route_lookups()
    {
        interface.reason = format!("{}; {blind}", interface.reason);
    }
    interface
}

/// The kernel answers the program's question for a route only when the interface asked about forwards. The
/// program asks as the loopback interface, so that the host need not be a router; nothing is forwarded for it.
///
/// Returns what to do when that cannot be set.
fn allow_route_lookups() -> Option<String> {
    let mut missing = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let path = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        let set = |text: String| text.trim() == "1";
        let present = Path::new(&path).exists();
        if present && !fs::read_to_string(&path).is_ok_and(set) && fs::write(&path, "1").is_err() {
            missing.push(format!("net.{family}.conf.lo.forwarding=1"));
        }
    }
    (!missing.is_empty()).then(|| format!("XDP cannot ask for routes until sysctl {} is set", missing.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pin_tells_mode_and_interface() {
        assert_eq!(parse_pin(&pin_name(XdpMode::Native, 7)), Some((XdpMode::Native, 7)));
        assert_eq!(parse_pin(&pin_name(XdpMode::Generic, 12)), Some((XdpMode::Generic, 12)));
        assert_eq!(parse_pin("off-3"), None);
        assert_eq!(parse_pin("FLOWS"), None);
    }
}
