//! The other generator: frames from a packet socket, so that they reach the relay's side as socket buffers.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::frames::{Load, Path, frame};
use super::kernel::Sent;
use super::netns::{pin, within};
use super::topology::Link;

/// Lateness that is made good by sending faster.
const CATCH_UP: Duration = Duration::from_micros(200);

/// Packets of one system call.
const BURST: u32 = 16;

/// Sends streams out of a far end by sendmmsg on a packet socket. RTP sequence numbers stand still, nothing is timed.
pub struct PacketSender {
    frames: Vec<Vec<u8>>,
    link: Link,
}

impl PacketSender {
    /// One frame for each path.
    pub fn new(link: &Link, paths: &[Path], load: Load) -> Self {
        let frame = |(n, path): (u32, &Path)| frame(*path, link.mac, link.relay_mac, n, load.rtp_octets).0;
        let frames = (0..).zip(paths).map(frame).collect();
        Self { frames, link: link.clone() }
    }

    /// Sends `rate` packets a second for a time, from `core`.
    pub fn send(&mut self, rate: u64, time: Duration, core: usize) -> Result<Sent> {
        let namespace = self.link.namespace.clone();
        within(&namespace, || {
            pin(0, core)?;
            let socket = packet_socket(self.link.ifindex)?;
            let interval = Duration::from_nanos((u64::from(BURST) * 1_000_000_000).checked_div(rate).unwrap_or(0));
            let begin = Instant::now();
            let (mut due, mut next, mut sent) = (begin, 0, Sent::default());
            while begin.elapsed() < time {
                let now = Instant::now();
                if now < due {
                    std::hint::spin_loop();
                    continue;
                }
                if now - due > CATCH_UP {
                    sent.late += now - due - CATCH_UP;
                    due = now - CATCH_UP;
                }
                due += interval;
                sent.packets += self.burst(&socket, &mut next)?;
            }
            sent.time = begin.elapsed();
            Ok(sent)
        })
    }

    fn burst(&mut self, socket: &OwnedFd, next: &mut usize) -> Result<u64> {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BURST as usize];
        // SAFETY: mmsghdr is plain integers and null pointers when zero.
        let mut messages: [libc::mmsghdr; BURST as usize] = unsafe { std::mem::zeroed() };
        for (vector, message) in vectors.iter_mut().zip(&mut messages) {
            let frame = &mut self.frames[*next];
            *vector = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
            *next = (*next + 1) % self.frames.len();
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header points at a vector and a frame, which live until the call returns.
        let result = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), BURST, 0) };
        match u64::try_from(result) {
            Ok(sent) => Ok(sent),
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
            Err(_) => bail!("packet socket: {}", io::Error::last_os_error()),
        }
    }
}

fn packet_socket(ifindex: u32) -> Result<OwnedFd> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: ifindex.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: socket takes numbers; the descriptor it gives is owned by nobody else; bind reads one sockaddr_ll and
    // setsockopt one int, both alive.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
        if fd < 0 {
            bail!("packet socket: {}", io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(fd);
        let length = size_of::<libc::sockaddr_ll>() as u32;
        if libc::bind(fd, (&raw const address).cast(), length) != 0 {
            bail!("packet socket: {}", io::Error::last_os_error());
        }
        let one: libc::c_int = 1;
        libc::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, (&raw const one).cast(), 4);
        Ok(socket)
    }
}
