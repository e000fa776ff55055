//! Rows of datagrams that the kernel hands over and takes as one (UDP GRO and GSO).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Result, bail};

const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;
/// Octets of a control message with one integer.
pub const CONTROL: usize = 24;
const HEADER: usize = size_of::<libc::cmsghdr>();

/// Room for control messages.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub struct Control(pub [u8; CONTROL]);

/// Lets a socket receive rows of datagrams.
pub fn accept(socket: &UdpSocket) -> Result<()> {
    set(socket, libc::SOL_UDP, UDP_GRO, 1)
}

/// Sets an integer option.
pub fn set(socket: &UdpSocket, level: i32, option: i32, value: i32) -> Result<()> {
    let size = size_of::<i32>() as u32;
    // SAFETY: the kernel reads one i32, which lives until the call returns.
    if unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) } != 0 {
        bail!("socket option {option}: {}", io::Error::last_os_error());
    }
    Ok(())
}

/// Octets of each datagram of a row, from the control message that came with it; none for a single datagram.
pub fn read(control: &[u8]) -> Option<u16> {
    let word = |at: usize| control.get(at..at + 4).map(|w| i32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
    let is_row = word(8)? == libc::SOL_UDP && word(12)? == UDP_GRO;
    if is_row { u16::try_from(word(HEADER)?).ok() } else { None }
}

/// The control message that asks for a row to be sent.
pub fn write(segment: u16) -> Control {
    let mut control = [0; CONTROL];
    control[..8].copy_from_slice(&(HEADER + 2).to_ne_bytes());
    control[8..12].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    control[12..16].copy_from_slice(&UDP_SEGMENT.to_ne_bytes());
    control[HEADER..HEADER + 2].copy_from_slice(&segment.to_ne_bytes());
    Control(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_its_control_message() {
        let mut control = write(172).0;
        assert_eq!(read(&control), None);
        control[12..16].copy_from_slice(&UDP_GRO.to_ne_bytes());
        assert_eq!(read(&control), Some(172));
        assert_eq!(read(&control[..10]), None);
    }
}
