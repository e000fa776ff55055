//! The bpf(2) calls that the loader library does not offer.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_LINK_TYPE_XDP: u32 = 6;

/// `union bpf_attr` of `BPF_OBJ_GET`.
#[repr(C)]
struct ObjectAttribute {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttribute {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `union bpf_attr` of `BPF_MAP_*_BATCH`.
#[repr(C)]
struct BatchAttribute {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// `struct bpf_map_info` as far as sizes go.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
}

/// `struct bpf_link_info` as far as its XDP part goes.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program_id: u32,
    padding: u32,
    ifindex: u32,
    tail: [u32; 3],
}

/// What an XDP link is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpLinkInfo {
    /// Kernel interface index; zero when the interface is gone.
    pub ifindex: u32,
    /// Program that runs.
    pub program_id: u32,
}

/// Opens a pinned object (map, program, link).
///
/// # Errors
///
/// What bpf(2) says: nothing is pinned there, or the right is missing.
pub fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attribute = ObjectAttribute { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the attribute is laid out as BPF_OBJ_GET wants it and outlives the call, and so does the string
    // that it points to.
    let fd = unsafe { bpf(BPF_OBJ_GET, &mut attribute) }?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What an XDP link is attached to.
///
/// # Errors
///
/// What bpf(2) says, or `InvalidInput` when the object is not an XDP link.
pub fn xdp_link_info(link: BorrowedFd<'_>) -> io::Result<XdpLinkInfo> {
    let mut info = LinkInfo::default();
    let mut attribute = InfoAttribute {
        bpf_fd: link.as_raw_fd().cast_unsigned(),
        info_len: size_of::<LinkInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the attribute is laid out as BPF_OBJ_GET_INFO_BY_FD wants it; `info` has the length that it names,
    // is plain integers, and outlives the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute) }?;
    if info.kind != BPF_LINK_TYPE_XDP {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(XdpLinkInfo { ifindex: info.ifindex, program_id: info.program_id })
}

/// Takes an XDP link off its interface at once. (Closing the last descriptor or removing the last pin does too, but
/// some time later.)
///
/// # Errors
///
/// What bpf(2) says: the object is no such link.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attribute = link.as_raw_fd().cast_unsigned();
    // SAFETY: the attribute of BPF_LINK_DETACH is one descriptor.
    unsafe { bpf(BPF_LINK_DETACH, &mut attribute) }.map(drop)
}

/// A map with keys of `KEY` octets and values of one word, written many entries at a time.
#[derive(Debug)]
pub struct WordMap<const KEY: usize>(OwnedFd);

impl<const KEY: usize> WordMap<KEY> {
    /// A map, by its descriptor.
    ///
    /// # Errors
    ///
    /// What bpf(2) says, or `InvalidInput` when its keys or values have other sizes.
    pub fn new(map: OwnedFd) -> io::Result<Self> {
        let mut info = MapInfo::default();
        let mut attribute = InfoAttribute {
            bpf_fd: map.as_raw_fd().cast_unsigned(),
            info_len: size_of::<MapInfo>() as u32,
            info: (&raw mut info) as u64,
        };
        // SAFETY: as in `xdp_link_info`.
        unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute) }?;
        if (info.key_size as usize, info.value_size as usize) != (KEY, size_of::<u32>()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self(map))
    }

    /// Makes each key lead to the value at its place, in order.
    ///
    /// # Errors
    ///
    /// What bpf(2) says of an entry, and which one that is; those before it are written, those behind it are not.
    pub fn update(&self, keys: &[[u8; KEY]], values: &[u32]) -> Result<(), (usize, io::Error)> {
        let count = keys.len().min(values.len()) as u32;
        let mut attribute = BatchAttribute {
            in_batch: 0,
            out_batch: 0,
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count,
            map_fd: self.0.as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the attribute is laid out as BPF_MAP_UPDATE_BATCH wants it; `new` has seen that keys and values of the
        // map have the sizes of the elements here, of which there are `count` each, and they outlive the call.
        let done = unsafe { bpf(BPF_MAP_UPDATE_BATCH, &mut attribute) };
        // The kernel has written how many it did, unless it did not begin.
        let failed_at = if attribute.count < count { attribute.count as usize } else { 0 };
        done.map(drop).map_err(|error| (failed_at, error))
    }
}

/// `union bpf_attr` of `BPF_PROG_LOAD`, as far as loading needs it.
#[cfg(feature = "testing")]
#[repr(C)]
struct LoadAttribute {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_octets: u32,
    log: u64,
}

/// What the verifier says of an XDP program that it accepts: the line with its statistics. The program is gone again
/// when this returns. (The loader library keeps what the verifier says of a refused program only.)
///
/// # Errors
///
/// What bpf(2) says: the program is refused, or the right is missing.
#[cfg(feature = "testing")]
pub fn verifier_statistics(instructions: &[u64], license: &std::ffi::CStr) -> io::Result<String> {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    const BPF_LOG_STATS: u32 = 4;
    let mut log = vec![0_u8; 4096];
    let mut attribute = LoadAttribute {
        kind: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: BPF_LOG_STATS,
        log_octets: log.len() as u32,
        log: log.as_mut_ptr() as u64,
    };
    // SAFETY: the attribute is laid out as BPF_PROG_LOAD wants it; instructions, license and log have the lengths that
    // it names and outlive the call, and nothing else holds the log.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attribute) }?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    let end = log.iter().position(|&octet| octet == 0).unwrap_or(log.len());
    Ok(String::from_utf8_lossy(&log[..end]).into_owned())
}

/// # Safety
///
/// `attribute` is what `command` takes, and what it points to is valid for what the kernel does with it.
unsafe fn bpf<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: by the contract of this function; the size is that of the attribute given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `struct ifreq` with its pointer.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    data: *mut DriverInfo,
    padding: [u8; 16],
}

const _: () = assert!(size_of::<DriverInfo>() == 196 && size_of::<InterfaceRequest>() == 40);

/// Name of an interface's driver, in the network namespace of the calling thread.
///
/// # Errors
///
/// What ioctl(2) says: there is no such interface, or its driver has no name.
pub fn driver_name(interface: &str) -> io::Result<String> {
    const ETHTOOL_GDRVINFO: u32 = 3;
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], data: &raw mut info, padding: [0; 16] };
    // One octet stays zero.
    let name = request.name[..libc::IFNAMSIZ - 1].get_mut(..interface.len()).ok_or(io::ErrorKind::InvalidInput)?;
    name.copy_from_slice(interface.as_bytes());
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: the request is laid out as SIOCETHTOOL wants it, and what it points to is an `ethtool_drvinfo`; both
    // outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let end = info.driver.iter().position(|&octet| octet == 0).unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..end]).into_owned())
}
