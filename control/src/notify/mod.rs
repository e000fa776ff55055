//! Tells others what happens to calls: by HTTP as JSON, DTMF also by UDP as rtpengine does.
//!
//! Whoever is told may be slow or away: notices wait in a queue that has an end, are tried again for a while, and what is
//! lost is counted. Nothing here holds up a call.

mod message;
mod post;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use raceway_config::{Ng, Notice, Url};
use raceway_media::Event;
use raceway_units::UnixTime;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use post::Client;

/// Notices that wait, some 500 octets each. Further ones are lost.
const WAITING_MAX: usize = 1024;

/// Seconds before a notice is tried again, each time; then it is lost.
const RETRIES_S: [u64; 5] = [1, 2, 4, 8, 16];

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was taken, or sent in a datagram.
    Sent,
    /// Nobody took it.
    Failed,
    /// Too many waited.
    Dropped,
}

/// How a notice is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `[ng] notify`.
    Http,
    /// `[ng] dtmf_log_dest`.
    Udp,
}

impl Fate {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    /// For metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Way {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Http, Self::Udp];

    /// For metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Udp => "udp",
        }
    }
}

/// Where to, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    url: Option<Url>,
    of: Vec<Notice>,
    dtmf: Option<SocketAddr>,
}

impl Settings {
    fn new(ng: &Ng) -> Self {
        Self { url: ng.notify.clone(), of: ng.notify_of.clone(), dtmf: ng.dtmf_log_dest }
    }
}

/// Something to tell.
#[derive(Debug)]
struct Told {
    way: Way,
    text: Bytes,
}

/// Takes what happened; cheap to clone, never waits.
#[derive(Clone, Debug)]
pub struct Teller {
    to: mpsc::Sender<Told>,
    settings: Arc<watch::Sender<Settings>>,
    counts: Arc<[[AtomicU64; Fate::ALL.len()]; Way::ALL.len()]>,
}

/// Tells it; runs on the runtime.
#[derive(Debug)]
pub struct Messenger {
    from: mpsc::Receiver<Told>,
    settings: watch::Receiver<Settings>,
    teller: Teller,
    sockets: HashMap<bool, UdpSocket>,
    client: Client,
    complained: bool,
}

/// Both ends.
#[must_use]
pub fn channel(ng: &Ng) -> (Teller, Messenger) {
    let (to, from) = mpsc::channel(WAITING_MAX);
    let (settings, receiver) = watch::channel(Settings::new(ng));
    let teller = Teller { to, settings: Arc::new(settings), counts: Arc::default() };
    let messenger = Messenger {
        from,
        settings: receiver,
        teller: teller.clone(),
        sockets: HashMap::new(),
        client: Client::default(),
        complained: false,
    };
    (teller, messenger)
}

impl Teller {
    /// From now on as `ng` says.
    pub fn configure(&self, ng: &Ng) {
        self.settings.send_replace(Settings::new(ng));
    }

    /// Something happened to a call.
    pub fn tell(&self, at: UnixTime, event: &Event) {
        let (notice, udp) = {
            let settings = self.settings.borrow();
            let is_wanted = |notice: &Notice| settings.url.is_some() && settings.of.contains(notice);
            (message::kind(event).filter(is_wanted), settings.dtmf.is_some())
        };
        if let Some(notice) = notice {
            self.queue(Way::Http, message::json(at, notice, event));
        }
        if udp && let Some(text) = message::dtmf(at, event) {
            self.queue(Way::Udp, text);
        }
    }

    fn queue(&self, way: Way, text: Vec<u8>) {
        if self.to.try_send(Told { way, text: text.into() }).is_err() {
            self.count(way, Fate::Dropped);
        }
    }

    fn count(&self, way: Way, fate: Fate) {
        self.counts[way as usize][fate as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notices so far.
    #[must_use]
    pub fn counted(&self, way: Way, fate: Fate) -> u64 {
        self.counts[way as usize][fate as usize].load(Ordering::Relaxed)
    }
}

impl Messenger {
    /// Tells one notice after the other, until nobody can tell anything any more.
    pub async fn run(mut self) {
        while let Some(Told { way, text }) = self.from.recv().await {
            let fate = match way {
                Way::Http => self.post(text).await,
                Way::Udp => self.send(&text).await,
            };
            if let Some(fate) = fate {
                self.teller.count(way, fate);
            }
        }
    }

    /// Posts a notice, several times if need be. None: there is no address for it any more.
    async fn post(&mut self, text: Bytes) -> Option<Fate> {
        let mut retries = RETRIES_S.into_iter().map(Duration::from_secs);
        loop {
            let url = self.settings.borrow().url.clone()?;
            let error = match self.client.post(&url, text.clone()).await {
                Ok(()) => {
                    self.complained = false;
                    return Some(Fate::Sent);
                }
                Err(error) => error,
            };
            if !std::mem::replace(&mut self.complained, true) {
                tracing::warn!(%url, %error, "what happens to calls cannot be told; further failures are only counted");
            }
            let Some(delay) = retries.next().filter(|_| error.may_pass()) else { return Some(Fate::Failed) };
            sleep(delay).await;
        }
    }

    async fn send(&mut self, text: &[u8]) -> Option<Fate> {
        let to = self.settings.borrow().dtmf?;
        match self.datagram(to, text).await {
            Ok(()) => Some(Fate::Sent),
            Err(error) => {
                tracing::debug!(%to, %error, "DTMF cannot be told");
                Some(Fate::Failed)
            }
        }
    }

    async fn datagram(&mut self, to: SocketAddr, text: &[u8]) -> std::io::Result<()> {
        let socket = match self.sockets.entry(to.is_ipv4()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                place.insert(UdpSocket::bind(SocketAddr::new(any, 0)).await?)
            }
        };
        socket.send_to(text, to).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    fn one_way(call_id: &str) -> Event {
        Event::OneWay { call_id: call_id.to_owned(), tag: "b".to_owned() }
    }

    fn ng(text: &str) -> Ng {
        raceway_config::parse("", &format!("[ng]\n{text}")).unwrap_or_else(|problems| panic!("{problems}")).ng
    }

    /// Answers one request with `status`; gives what came.
    async fn answer(listener: &TcpListener, status: &str) -> String {
        let (mut stream, _) = listener.accept().await.expect("listening");
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut text).await.expect("a request"), 0);
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("somebody reads it");
        String::from_utf8(text).expect("text")
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("notify = \"http://{}/calls?x\"\n", listener.local_addr().expect("bound"));
        (listener, url)
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_is_posted_again_until_it_is_taken() {
        let (listener, url) = listener().await;
        let (teller, messenger) = channel(&ng(&url));
        tokio::spawn(messenger.run());
        teller.tell(UnixTime(7), &one_way("call"));
        let first = answer(&listener, "503 Busy").await;
        assert!(first.starts_with("POST /calls?x HTTP/1.1\r\n"), "{first}");
        assert!(
            first.ends_with("\r\n\r\n{\"event\":\"one_way\",\"call_id\":\"call\",\"at\":7,\"tag\":\"b\"}"),
            "{first}"
        );
        assert!(answer(&listener, "200 OK").await.contains("\"call\""));
        teller.tell(UnixTime(8), &one_way("other"));
        assert!(answer(&listener, "204 Nothing").await.contains("\"other\""));
        while teller.counted(Way::Http, Fate::Sent) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(teller.counted(Way::Http, Fate::Failed), 0);
    }

    #[tokio::test]
    async fn what_is_refused_for_good_is_not_tried_again() {
        let (listener, url) = listener().await;
        let (teller, messenger) = channel(&ng(&url));
        tokio::spawn(messenger.run());
        teller.tell(UnixTime(7), &one_way("first"));
        assert!(answer(&listener, "404 Nobody").await.contains("first"));
        teller.tell(UnixTime(7), &one_way("second"));
        assert!(answer(&listener, "200 OK").await.contains("second"));
        assert_eq!(teller.counted(Way::Http, Fate::Failed), 1);
    }

    #[tokio::test]
    async fn a_queue_without_a_reader_has_an_end_and_nobody_waits() {
        let (_listener, url) = listener().await;
        let (teller, _messenger) = channel(&ng(&url));
        for number in 0..WAITING_MAX + 3 {
            teller.tell(UnixTime(7), &one_way(&number.to_string()));
        }
        assert_eq!(teller.counted(Way::Http, Fate::Dropped), 3);
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_told_and_a_reload_changes_it() {
        let (listener, url) = listener().await;
        let (teller, messenger) = channel(&ng(&format!("{url}notify_of = [\"timeout\"]\n")));
        tokio::spawn(messenger.run());
        teller.tell(UnixTime(7), &one_way("unwanted"));
        teller.configure(&ng(&format!("{url}notify_of = [\"one_way\"]\n")));
        teller.tell(UnixTime(7), &one_way("wanted"));
        assert!(answer(&listener, "200 OK").await.contains("\"wanted\""));
        teller.configure(&ng(""));
        teller.tell(UnixTime(7), &one_way("nowhere"));
        assert!(timeout(Duration::from_millis(50), listener.accept()).await.is_err());
    }

    #[tokio::test]
    async fn dtmf_goes_out_as_rtpengine_says_it() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let at = socket.local_addr().expect("bound");
        let (teller, messenger) = channel(&ng(&format!("dtmf_log_dest = \"{at}\"\n")));
        tokio::spawn(messenger.run());
        teller.tell(UnixTime(1_700_000_000), &one_way("not this"));
        teller.tell(UnixTime(1_700_000_000), &message::tests::digit());
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).await.expect("a datagram");
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), message::tests::DIGIT);
    }
}
