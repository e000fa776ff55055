//! Giving up rights that are not needed any more.

use std::io;

/// CAP_NET_BIND_SERVICE: listeners on ports below 1024 may still come.
const NET_BIND_SERVICE: u32 = 10;
/// CAP_NET_ADMIN: socket buffers beyond the system's limit.
const NET_ADMIN: u32 = 12;
/// What stays.
const KEPT: u64 = 1 << NET_BIND_SERVICE | 1 << NET_ADMIN;
/// Capability numbers that a kernel may know.
const CAPABILITIES: u32 = 64;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops, for the calling thread and all that it starts from now on, every capability but those for low ports and
/// large socket buffers, and the way back to any of them. What is open stays usable: maps of BPF, sockets, rings.
///
/// # Errors
/// What prctl(2) or capset(2) say.
pub fn drop_capabilities() -> io::Result<()> {
    no_new_privileges()?;
    for capability in 0..CAPABILITIES {
        if KEPT >> capability & 1 == 0 {
            drop_from_bounding_set(capability)?;
        }
    }
    let mut held = held()?;
    for (at, data) in held.iter_mut().enumerate() {
        let kept = (KEPT >> (32 * at)) as u32;
        data.effective &= kept;
        data.permitted &= kept;
        data.inheritable = 0;
    }
    let header = HEADER;
    // SAFETY: the header names this thread, and `held` is the two elements that version 3 has.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, held.as_ptr()) })
}

const HEADER: Header = Header { version: VERSION, pid: 0 };

fn held() -> io::Result<[Data; 2]> {
    let mut data = [Data::default(); 2];
    let mut header = HEADER;
    // SAFETY: as in `drop_capabilities`; the kernel may write to both.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(data)
}

fn no_new_privileges() -> io::Result<()> {
    // SAFETY: no pointers.
    check(i64::from(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }))
}

fn drop_from_bounding_set(capability: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    match check(i64::from(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) })) {
        // Unknown to this kernel (EINVAL), or we never could (EPERM): then there is nothing to give up.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => Ok(()),
        other => other,
    }
}

fn check(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_two_is_left_and_nothing_comes_back() {
        // Capabilities belong to threads, so this harms no other test.
        let left = std::thread::spawn(|| {
            drop_capabilities().expect("anyone may give up rights");
            let held = held().expect("capget");
            u64::from(held[0].permitted) | u64::from(held[1].permitted) << 32
        });
        assert_eq!(left.join().expect("no panic") & !KEPT, 0);
    }
}
