//! The command line.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use raceway_loadgen_core::Profile;
use raceway_loadgen_core::call::Transport;
use raceway_loadgen_core::expect::Expectations;
use raceway_srtp::Suite;

use crate::crew::BackEnd;
use crate::target::Target;

/// RTP load for any relay, TURN server or forwarder.
///
/// Each packet has a time at which it is due, each payload can be checked, and delays are counted from the due time. The
/// generator measures how late it was itself, and calls a run invalid that it could not keep up with.
///
/// Exit status: 0 all went as expected, 1 an expectation was not met or the run is invalid, 2 it could not be run.
#[derive(Debug, Parser)]
#[command(name = "raceway-loadgen", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Sends RTP streams to a target, and measures what comes back.
    Rtp(Rtp),
    /// Receives streams, of this generator or of anybody, and measures them.
    Sink(Sink),
    /// Allocates on a TURN server and runs media through it, both ways, between clients and peers of its own.
    Turn(Turn),
    /// Makes calls through a relay that takes rtpengine's ng commands, and runs media through it, both ways, between parties of
    /// its own.
    Call(Call),
    /// Sends the RTP streams of a capture again, as they were sent: their times kept, SSRCs and addresses new.
    Replay(Replay),
    /// Searches for the most streams, TURN clients or calls that a target carries, several times; or for what this generator
    /// sends in time.
    ///
    /// The load doubles until a trial fails, then the distance is halved. What a trial must hold is --expect (loss<=0 if it
    /// is not given, and of calls failures<=0); a trial in which the generator itself was late ends the search, and the result is a lower bound.
    Capacity(Capacity),
    /// Shows a report again that --json wrote: as a table, as a page, or held against other expectations.
    Report(Shown),
}

/// Options of `report`.
#[derive(Debug, Args)]
pub struct Shown {
    /// The report; - is standard input.
    pub file: PathBuf,
    /// What must hold for a pass, in place of what was expected when it ran.
    #[arg(long, value_name = "LIST")]
    pub expect: Option<Expectations>,
    /// The report as JSON on standard output, in place of the table.
    #[arg(long)]
    pub json: bool,
    /// The report as a page with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Options of `capacity`.
#[derive(Debug, Args)]
pub struct Capacity {
    /// What is searched.
    #[command(subcommand)]
    pub of: CapacityOf,
}

/// What capacity is searched.
// One of them is made in a process's life.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub enum CapacityOf {
    /// Streams of RTP, as `rtp` sends them; --streams is where the search begins.
    Rtp {
        /// How it is searched.
        #[command(flatten)]
        search: Search,
        /// As for `rtp`.
        #[command(flatten)]
        trial: Rtp,
    },
    /// Streams that the sockets of this machine send in time: p99 of lateness within --lateness, and nothing refused or left.
    ///
    /// They go to a socket of this machine that nobody reads, unless there is a --target that discards.
    Generator {
        /// How it is searched.
        #[command(flatten)]
        search: Search,
        /// What is sent.
        #[command(flatten)]
        trial: Alone,
    },
    /// TURN clients with media, as `turn` has them; --clients is where the search begins.
    Turn {
        /// How it is searched.
        #[command(flatten)]
        search: Search,
        /// As for `turn`.
        #[command(flatten)]
        trial: Turn,
    },
    /// Calls with media, as `call` has them; --calls is where the search begins.
    Call {
        /// How it is searched.
        #[command(flatten)]
        search: Search,
        /// As for `call`.
        #[command(flatten)]
        trial: Call,
    },
}

/// Options of `capacity generator`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Alone {
    /// Where to send, if not to a socket of this machine that nobody reads.
    #[arg(long, value_name = "TARGET")]
    pub target: Option<Target>,
    /// Streams of the first trial.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub streams: u32,
    /// Streams that share a socket, as long as each core has one.
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_per_socket: u32,
    /// Streams to send.
    #[command(flatten)]
    pub shape: Streams,
    /// What all runs have.
    #[command(flatten)]
    pub common: Common,
}

/// How capacity is searched.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
pub struct Search {
    /// Searches; their spread is shown.
    #[arg(long, default_value_t = 3, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeat: u32,
    /// Highest load to try.
    #[arg(long, default_value_t = 50_000, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub most: u32,
    /// How close pass and failure must come, in percent of the load.
    #[arg(long, default_value_t = 2.0, value_name = "PERCENT")]
    pub resolution: f64,
}

/// How much, how long, and how results are shown; the same for all.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// How long media flows, as 500ms, 10s, 5m, 2h.
    #[arg(long, value_parser = some_time, default_value = "10s", value_name = "TIME")]
    pub duration: Duration,
    /// How long late packets are waited for at the end.
    #[arg(long, value_parser = duration, default_value = "1s", value_name = "TIME")]
    pub drain: Duration,
    /// What must hold for a pass, as loss<=0,p99<=2ms,mos>=4.2.
    #[arg(long, value_name = "LIST")]
    pub expect: Option<Expectations>,
    /// The report as JSON on standard output, in place of the table.
    #[arg(long)]
    pub json: bool,
    /// The report as a page with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// No progress on standard error.
    #[arg(long)]
    pub quiet: bool,
    /// Cores to work on, as 0,2; one worker each. Without: as few as carry the load.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub cores: Vec<usize>,
    /// How packets are sent and received.
    #[arg(long, value_enum, default_value_t = BackEnd::IoUring)]
    pub backend: BackEnd,
    /// A run is invalid if one packet in a hundred left later than this.
    #[arg(long, value_parser = duration, default_value = "1ms", value_name = "TIME")]
    pub lateness: Duration,
    /// A silence from this length on is a gap.
    #[arg(long, value_parser = duration, default_value = "100ms", value_name = "TIME")]
    pub gap: Duration,
    /// A packet delayed so much more than the fastest comes too late to be played.
    #[arg(long, value_parser = duration, default_value = "60ms", value_name = "TIME")]
    pub playout: Duration,
    /// Which clock delays are counted by.
    #[arg(long, value_enum, default_value_t = ClockChoice::Machine)]
    pub clock: ClockChoice,
    /// No RTCP: no sender and receiver reports on the sockets of the media.
    #[arg(long)]
    pub no_rtcp: bool,
    /// Makes what is random (phases, sizes, first numbers) the same again.
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Load a target outside loopback and private ranges: only for hosts that you may load.
    #[arg(long)]
    pub i_own_this_target: bool,
}

/// Which clock delays are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClockChoice {
    /// The machine's: delays between processes of one machine; from other machines relative to the fastest packet.
    Machine,
    /// The wall clock: for machines whose clocks are synchronised (PTP, or NTP for what that is worth).
    Synchronised,
}

/// Streams to send.
#[derive(Clone, Debug, Args)]
pub struct Streams {
    /// Kind of stream, as pcmu, opus:bitrate=32k,dtx=on, constant:size=172,pps=50.
    #[arg(long, default_value = "pcmu", value_name = "PROFILE")]
    pub profile: Profile,
    /// Streams begun each second; without, all begin within one packet interval.
    #[arg(long, value_name = "NUMBER", value_parser = from_one)]
    pub ramp: Option<NonZeroU32>,
}

/// Options of `rtp`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Rtp {
    /// Where to send: HOST:PORT, or HOST:FIRST-LAST for one port after the other.
    #[arg(long, value_name = "TARGET")]
    pub target: Target,
    /// Streams; each has a socket of its own.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub streams: u32,
    /// Streams that share a socket.
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub streams_per_socket: u32,
    /// Where what is sent arrives in the end: ADDRESS:PORT or ADDRESS:FIRST-LAST of this machine, for a relay that forwards.
    /// Without, it comes back to the sockets that sent it.
    #[arg(long, value_name = "TARGET")]
    pub receive: Option<Target>,
    /// Streams to send.
    #[command(flatten)]
    pub shape: Streams,
    /// Where they go past sockets.
    #[command(flatten)]
    pub xdp: Xdp,
    /// What all runs have.
    #[command(flatten)]
    pub common: Common,
}

/// Where streams are that go past sockets.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Xdp {
    /// With --backend xdp: the interface that streams leave by.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// With --backend xdp: the interface by which they arrive in the end (that of peers), if it is another one.
    #[arg(long, value_name = "NAME")]
    pub receive_interface: Option<String>,
    /// With --backend xdp: Ethernet address to send to; without, that of the next hop towards the target.
    #[arg(long, value_name = "MAC")]
    pub next_hop: Option<Mac>,
}

impl Xdp {
    /// Whether any of it is given.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.interface.is_some() || self.receive_interface.is_some() || self.next_hop.is_some()
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octets: Vec<u8> = text
            .split(':')
            .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
            .collect::<Option<_>>()
            .unwrap_or_default();
        let octets = octets.try_into().map_err(|_| "write six octets, as 02:00:5e:10:00:01".to_owned())?;
        Ok(Self(octets))
    }
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The capture: pcap or pcapng.
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where to send: HOST:PORT, or HOST:FIRST-LAST for one port after the other.
    #[arg(long, value_name = "TARGET")]
    pub target: Target,
    /// Copies of all streams of the capture, each with a socket of its own.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub copies: u32,
    /// Begins again when the capture is over, until --duration is; without it the capture is sent once, and --duration does
    /// not count.
    #[arg(long = "loop")]
    pub again: bool,
    /// Puts stamps into payloads in place of what was recorded, so that delay and damage are measured.
    #[arg(long)]
    pub stamp: bool,
    /// Where it arrives in the end, as for `rtp`.
    #[arg(long, value_name = "TARGET")]
    pub receive: Option<Target>,
    /// Copies begun each second.
    #[arg(long, value_name = "NUMBER", value_parser = from_one)]
    pub ramp: Option<NonZeroU32>,
    /// What all runs have.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `sink`.
#[derive(Debug, Args)]
pub struct Sink {
    /// Where to listen: ADDRESS:PORT, or ADDRESS:FIRST-LAST.
    #[arg(long, value_name = "TARGET")]
    pub listen: Target,
    /// Sends everything back to where it came from.
    #[arg(long)]
    pub echo: bool,
    /// An emulated link in front of the sockets: all that arrives comes through it, as delay=20ms,jitter=5ms,loss=1%.
    #[arg(long, value_name = "LIST")]
    pub impair: Option<raceway_netem::Config>,
    /// Clock rate of a payload type without a fixed one, as 111=48000; may be repeated.
    #[arg(long, value_parser = clock_rate, value_name = "PT=HERTZ")]
    pub rtpmap: Vec<(u8, u32)>,
    /// With --backend xdp: the interface that streams arrive at.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// What all runs have.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `turn`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Turn {
    /// The TURN server: HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Target,
    /// User name.
    #[arg(long, default_value = "", value_name = "NAME")]
    pub user: String,
    /// Password of the user. Better in the environment than on a command line that others can read.
    #[arg(long, env = "RACEWAY_TURN_PASSWORD", hide_env_values = true, conflicts_with = "secret", value_name = "WORD")]
    pub password: Option<String>,
    /// Shared secret that vouches for the user, as coturn's static-auth-secret.
    #[arg(long, env = "RACEWAY_TURN_SECRET", hide_env_values = true, value_name = "WORD")]
    pub secret: Option<String>,
    /// Clients, each with an allocation and a peer.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub clients: u32,
    /// What clients do.
    #[arg(long, value_enum, default_value_t = Mode::Media)]
    pub mode: Mode,
    /// Requests begun each second, in all modes but media.
    #[arg(long, default_value_t = 100, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// How long an allocation is kept, in modes allocations and churn; without, it is given back at once in the first and
    /// after 2s in the second.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub hold: Option<Duration>,
    /// Send and Data indications in place of channels.
    #[arg(long)]
    pub indications: bool,
    /// Media from clients to peers alone, or from peers to clients alone.
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// Address of this machine where peers are; without, the one from which the server is reached.
    #[arg(long, value_name = "ADDRESS")]
    pub peer_address: Option<std::net::IpAddr>,
    /// Relayed addresses of IPv6.
    #[arg(long)]
    pub ipv6_relay: bool,
    /// An emulated link between clients and server, both ways, as delay=20ms,jitter=5ms,loss=1%.
    #[arg(long, value_name = "LIST")]
    pub impair: Option<raceway_netem::Config>,
    /// Clients that begin each second.
    #[arg(long, default_value_t = 2000, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub setup_rate: u32,
    /// Streams to send.
    #[command(flatten)]
    pub shape: Streams,
    /// Where they go past sockets.
    #[command(flatten)]
    pub xdp: Xdp,
    /// What all runs have.
    #[command(flatten)]
    pub common: Common,
}

/// Options of `call`.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Call {
    /// The relay's ng port (UDP): HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    pub ng: Target,
    /// Calls, each with two parties of this generator; 1 if it is not given.
    #[arg(long, value_name = "NUMBER")]
    pub calls: Option<u32>,
    /// How the caller has its media: RTP/AVP, or RTP/SAVP for SRTP with keys in SDP.
    #[arg(long, default_value_t, value_name = "PROTOCOL")]
    pub offer_transport: Transport,
    /// How the callee has its media.
    #[arg(long, default_value_t, value_name = "PROTOCOL")]
    pub answer_transport: Transport,
    /// The suite of SRTP, as AEAD_AES_256_GCM.
    #[arg(long, default_value = Suite::Aes128CmSha1_80.name(), value_parser = suite, value_name = "NAME")]
    pub suite: Suite,
    /// Calls begun each second, whatever became of those before; without, as fast as --window allows.
    #[arg(long, value_name = "NUMBER", value_parser = from_one)]
    pub rate: Option<NonZeroU32>,
    /// Commands that wait for their answers at a time, if there is no --rate.
    #[arg(long, default_value = "32", value_name = "NUMBER", value_parser = from_one)]
    pub window: NonZeroU32,
    /// No media: calls are set up, stay for --duration and are deleted.
    #[arg(long)]
    pub set_up_only: bool,
    /// Calls come and go: at --rate, each with media for --hold; or, with --set-up-only, --calls at a time as fast as it goes.
    #[arg(long)]
    pub churn: bool,
    /// With --churn: how long a call stays before it is deleted; without, 2s, or no time at all with --set-up-only.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub hold: Option<Duration>,
    /// Address of this machine where callers are; without, the one from which the relay is reached.
    #[arg(long, value_name = "ADDRESS")]
    pub caller_address: Option<IpAddr>,
    /// Address of this machine where callees are; without, that of the callers.
    #[arg(long, value_name = "ADDRESS")]
    pub callee_address: Option<IpAddr>,
    /// An emulated link between all parties and the relay, both ways, as delay=20ms,jitter=5ms,loss=1%.
    #[arg(long, value_name = "LIST")]
    pub impair: Option<raceway_netem::Config>,
    /// Streams to send.
    #[command(flatten)]
    pub shape: Streams,
    /// What all runs have.
    #[command(flatten)]
    pub common: Common,
}

/// A suite by its name.
fn suite(text: &str) -> Result<Suite, String> {
    let named = Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(text));
    named.ok_or_else(|| format!("there are {}", Suite::ALL.map(Suite::name).join(", ")))
}

/// What TURN clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Allocate, and run media to the end.
    Media,
    /// Allocate and give back, at a rate; how long it takes is counted from when each request was due.
    Allocations,
    /// Allocate, bind a channel, stay for a while and go, at a rate.
    Churn,
    /// Allocate without ever saying who one is, at a rate, from many ports: as a flood would.
    Flood,
    /// Allocate with a wrong password, at a rate.
    BadCredentials,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value().expect("no mode is hidden");
        f.write_str(value.get_name())
    }
}

/// Which way media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// Both ways.
    Both,
    /// Clients send, peers receive.
    ToPeer,
    /// Peers send, clients receive.
    ToClient,
}

/// A time with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_each = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write a number with a unit: 500ms, 10s, 5m, 2h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("'{number}' is not a number"))?;
    Duration::try_from_secs_f64(number * seconds_each)
        .ok()
        .filter(|time| *time <= Duration::from_secs(30 * 86_400))
        .ok_or_else(|| "the longest time is 30 days (720h)".to_owned())
}

/// A time that is not nothing.
fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("nothing happens in no time".to_owned()) } else { Ok(time) })
}

/// A number that is not zero.
fn from_one(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "write a whole number from 1 to 4294967295".to_owned())
}

fn clock_rate(text: &str) -> Result<(u8, u32), String> {
    let wrong = || "write PAYLOADTYPE=HERTZ, as 111=48000".to_owned();
    let (payload_type, rate) = text.split_once('=').ok_or_else(wrong)?;
    let payload_type = payload_type.parse().ok().filter(|number| *number < 128).ok_or_else(wrong)?;
    let rate = rate.parse().ok().filter(|rate| (1_000..=1_000_000).contains(rate)).ok_or_else(wrong)?;
    Ok((payload_type, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "s", "5x", "-1s", "1..2s", "1e9h", "800h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(some_time("0s").is_err() && duration("0s").is_ok() && some_time("1ms").is_ok());
    }

    #[test]
    fn an_ethernet_address_has_six_octets() {
        assert_eq!("02:00:5e:10:00:Ff".parse(), Ok(Mac([2, 0, 0x5e, 0x10, 0, 0xff])));
        for wrong in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:01", "2:0:5e:10:0:ff", "02-00-5e-10-00-ff", "zz:00:5e:10:00:ff"]
        {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_numbers_from_one_on() {
        assert_eq!(from_one("7"), Ok(NonZeroU32::new(7).unwrap()));
        for wrong in ["0", "-1", "x", "", "1.5"] {
            assert!(from_one(wrong).unwrap_err().contains("whole number"), "{wrong}");
        }
    }

    #[test]
    fn clock_rates_belong_to_payload_types() {
        assert_eq!(clock_rate("111=48000"), Ok((111, 48_000)));
        for wrong in ["111", "128=8000", "0=1", "x=8000", "0="] {
            assert!(clock_rate(wrong).is_err(), "{wrong}");
        }
    }
}
