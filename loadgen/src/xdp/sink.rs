//! `sink --backend xdp`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Result, ensure};
use raceway_loadgen_core::report::{Reference, Report, StreamReport};
use raceway_loadgen_xdp::layout::Listening;
use raceway_loadgen_xdp::{Sink, Strangers};

use super::{Finding, monotonic, named, observe, report, times};
use crate::cli;
use crate::session::{Interrupt, Session};
use crate::sockets;

/// Runs `sink` in the kernel.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: cli::Sink, interrupt: &Interrupt) -> Result<Report> {
    ensure!(
        !options.echo && options.impair.is_none() && options.rtpmap.is_empty(),
        "--echo, --impair and --rtpmap are for sockets: in XDP stamped packets are counted, and go nowhere"
    );
    let interface = named(options.interface.as_deref(), "receives at")?;
    let addresses = options.listen.local()?;
    // Nobody reads them: they are there so that reports of senders find a port that is open.
    sockets::allow(addresses.len() as u64)?;
    let _open: Vec<OwnedFd> = addresses.iter().map(|at| sockets::open_at(*at)).collect::<Result<_>>()?;
    let session = Session::new(options.common, interrupt)?;
    let mut sink = Sink::listening(&listening(&session, &addresses))?;
    sink.attach(&interface.name)?;
    let begin = monotonic(&session);
    let (ended, totals) = session.watched(|watch| {
        watch.begins(begin.after(session.timeline.ahead()));
        observe(&session, begin, 0, &mut [], &mut sink, watch)
    })?;
    let length: Duration = ended.since(begin).min(session.common.duration);
    let (reference, streams) = streams(&sink, session.timeline.clock().0)?;
    let finding = Finding { totals, length, streams, unsent: 0, refused: 0 };
    let what = format!("streams that arrived at {} in XDP on {}", options.listen, interface.name);
    Ok(report::report(&session, finding, false, reference, what))
}

fn listening(session: &Session, addresses: &[SocketAddr]) -> Listening {
    let port = |at: Option<&SocketAddr>| at.map_or(0, SocketAddr::port);
    Listening {
        times: times(session),
        address: words(addresses[0].ip()),
        first: port(addresses.first()),
        last: port(addresses.last()),
        clock: session.timeline.clock().0,
    }
}

/// An address as it lies in memory; all zero is any.
fn words(address: IpAddr) -> [u32; 4] {
    let mut octets = [0; 16];
    match address {
        IpAddr::V4(v4) => octets[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => octets = v6.octets(),
    }
    let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    [word(0), word(4), word(8), word(12)]
}

/// What became of each stream, and what delays are counted from: absolute only if all senders have this clock.
fn streams(sink: &Sink<Strangers>, clock: u32) -> Result<(Reference, Vec<StreamReport>)> {
    let found = sink.strangers()?;
    let relative = found.is_empty() || found.iter().any(|(_, stranger)| stranger.is_relative(clock));
    let rows = found.iter().map(|(origin, stranger)| {
        let (remote, payload_type) = (origin.remote(stranger.v6 != 0), stranger.payload_type);
        let name = format!("{remote} SSRC {:#010x} PT {payload_type}", origin.ssrc);
        report::row(name, Some(stranger.stream), None, &stranger.heard, stranger.first, stranger.octets)
    });
    Ok((if relative { Reference::Relative } else { Reference::Absolute }, rows.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_as_they_do_in_a_packet() {
        assert_eq!(words([10, 0, 0, 2].into()), [u32::from_ne_bytes([10, 0, 0, 2]), 0, 0, 0]);
        let [first, .., last] = words("fd00::102:304".parse().unwrap());
        assert_eq!((first.to_ne_bytes(), last.to_ne_bytes()), ([0xfd, 0, 0, 0], [1, 2, 3, 4]));
    }
}
