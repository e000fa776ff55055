//! What becomes of a datagram that arrived.

use std::ops::Range;

use raceway_loadgen_core::report::Interval;
use raceway_loadgen_core::rtp::RtpView;
use raceway_loadgen_core::turn::Incoming;
use raceway_srtp::SrtpError;
use raceway_units::{Endpoint, Instant};

use super::clients::Clients;
use super::receivers::Receivers;

/// Everybody who waits for datagrams, and what is counted of them.
pub struct Inbox {
    /// TURN clients.
    pub clients: Clients,
    /// Streams.
    pub receivers: Receivers,
    /// Since the last report.
    pub interval: Box<Interval>,
}

/// What a datagram was.
pub enum Taken {
    /// Media: this part of it.
    Media(Range<usize>),
    /// RTCP: this part of it.
    Rtcp(Range<usize>),
    /// An answer to the client of its socket, which may have something to say now.
    Answer,
    /// Nothing.
    Nothing,
}

impl Inbox {
    /// Takes a datagram that arrived at `port`, the socket of `client` or of none.
    #[inline]
    pub fn take(
        &mut self,
        port: u32,
        client: Option<u32>,
        remote: Option<Endpoint>,
        datagram: &[u8],
        now: Instant,
    ) -> Taken {
        if client.is_some_and(|client| remote.is_some_and(|remote| remote != self.clients.transport(client).1)) {
            // A client hears its server alone.
            self.interval.received.foreign += 1;
            return Taken::Nothing;
        }
        let media = match client.map(|client| self.clients.handle(client, datagram, now)) {
            None => 0..datagram.len(),
            Some(Incoming::Data { payload, .. }) => payload,
            Some(Incoming::Answer) => return Taken::Answer,
            Some(Incoming::Unexpected) => return Taken::Nothing,
        };
        if is_rtcp(&datagram[media.clone()]) {
            return Taken::Rtcp(media);
        }
        match RtpView::parse(&datagram[media.clone()]) {
            Ok(packet) => {
                self.receivers.handle(port, remote, &packet, now, &mut self.interval);
                Taken::Media(media)
            }
            Err(_) => {
                self.interval.received.foreign += 1;
                Taken::Nothing
            }
        }
    }
}

impl Inbox {
    /// Counts a datagram that was no SRTP of its sender, or came before.
    #[cold]
    pub fn refuse(&mut self, error: SrtpError) {
        let received = &mut self.interval.received;
        match error {
            SrtpError::Replayed => received.duplicated += 1,
            SrtpError::Old => received.stray += 1,
            _ => received.unauthentic += 1,
        }
    }
}

/// RTCP packet types, on a socket that RTP shares (RFC 5761 section 4).
fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::net::SocketAddr;
    use std::sync::Arc;

    use raceway_loadgen_core::Clock;
    use raceway_loadgen_core::turn::{Credentials, Settings};

    use super::*;
    use crate::plan::{Client, Framing};
    use crate::target::Reach;
    use crate::worker::Expectation;

    fn inbox() -> Inbox {
        let expectation = Expectation {
            run: Some(1),
            strangers: false,
            echo: false,
            reach: Reach::Private,
            gap: Duration::from_millis(100),
            playout: Duration::from_millis(60),
            clock_rates: Vec::new(),
        };
        Inbox {
            clients: Clients::new(Vec::new(), Instant::default()),
            receivers: Receivers::new(expectation, &[], Clock(1)),
            interval: Box::default(),
        }
    }

    #[test]
    fn what_is_no_media_of_the_run_is_counted_and_is_not_received() {
        let mut inbox = inbox();
        let stranger = [0x80, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 0xd5];
        for datagram in [&stranger[..], &[], &[0xff; 40], &[0x80, 0]] {
            inbox.take(0, None, None, datagram, Instant::default());
        }
        assert_eq!((inbox.interval.received.foreign, inbox.interval.received.packets), (4, 0));
    }

    #[test]
    fn a_client_hears_its_server_alone() {
        let server: SocketAddr = ([127, 0, 0, 1], 3478).into();
        let client = Client {
            port: 0,
            server,
            peer: None,
            framing: Framing::Channel,
            credentials: Arc::new(Credentials::new("alice", "wonderland").unwrap()),
            settings: Settings::default(),
            seed: 1,
            after: Duration::ZERO,
            turns: None,
            reach: Reach::Private,
        };
        let mut inbox = Inbox { clients: Clients::new(vec![client], Instant::default()), ..inbox() };
        let data = [0xff; 20];
        inbox.take(0, Some(0), Some(SocketAddr::from(([127, 0, 0, 1], 3479)).into()), &data, Instant::default());
        assert_eq!((inbox.interval.received.foreign, inbox.clients.figures().unexpected), (1, 0));
        inbox.take(0, Some(0), Some(server.into()), &data, Instant::default());
        assert_eq!((inbox.interval.received.foreign, inbox.clients.figures().unexpected), (1, 1));
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_packet_type() {
        let report = [0x80, 200, 0, 6];
        assert!(
            matches!(inbox().take(0, None, None, &report, Instant::default()), Taken::Rtcp(part) if part == (0..4))
        );
    }
}
