//! The sections about rates and what a packet costs.

use std::collections::BTreeMap;

use super::rates::{Found, Key, Rates, Split};
use super::table::{NONE, Table, median, places, ratio, whole};
use crate::record::{Outcome, Record};
use crate::scenario::COMMON_RATE;
use crate::scenario::calls::CALLS;
use crate::scenario::rate::{FLOWS, GROWING};
use crate::session::Call;
use crate::stand::frames::Load;
use crate::stand::topology::{Arms, Direction};
use crate::stand::trial::{ATTEMPTS, LOSS_FREE};
use crate::subject::Subject;

/// Bits on the wire of a frame beyond its octets: preamble, check sequence and gap.
const WIRE_BITS: f64 = 24.0 * 8.0;
/// What a card's driver takes to receive a packet, nanoseconds; see [`program`].
const CARD_NS: f64 = 41.6;
/// Octets of Ethernet, IPv4, UDP and ChannelData in front of RTP.
const HEADERS: f64 = 46.0;

/// Rates and costs with the usual calls.
pub fn rate(rates: &Rates, direction: Direction) -> Option<String> {
    let title = match direction {
        Direction::ToPeer => "Client to peer (ChannelData in, plain RTP out)",
        Direction::ToClient => "Peer to client (plain RTP in, ChannelData out)",
    };
    let of = |subject| rates.find(&Key { direction, ..Key::usual(subject) });
    let coturn = of(Subject::Coturn);
    let (coturn_rate, coturn_cost) = (coturn.and_then(|c| c.most()), coturn.and_then(|c| c.cost()));
    let mut table = Table::new(&[
        "relay",
        "packets/s without loss",
        "packets/s at most",
        "times coturn",
        "CPU s/million: user",
        "system",
        "soft interrupt",
        "together",
        "coturn's divided by it",
        &format!("at {COMMON_RATE}/s"),
    ]);
    let usual = |key: &Key| key.direction == direction && key.load == Load::calls(FLOWS) && key.variant.is_empty();
    let mut rounds = 0;
    for (key, found) in rates.all(usual) {
        rounds = rounds.max(found.rounds());
        let split = found.split();
        let part = |part: fn(Split) -> f64| places(split.map(|split| part(split) / 1e3), 2);
        table.row([
            key.title(),
            format!("{}{}", if found.limited { ">= " } else { "" }, whole(found.rate())),
            whole(found.most()),
            places(ratio(found.most(), coturn_rate), 2),
            part(|split| split.user),
            part(|split| split.system),
            part(|split| split.soft),
            places(found.cost().map(|ns| ns / 1e3), 2),
            places(ratio(coturn_cost, found.cost()), 2),
            places(found.common_cost().map(|ns| ns / 1e3), 2),
        ]);
    }
    let plot = match direction {
        Direction::ToPeer => "\n![CPU time of a packet by kind](bench/cost.svg)\n",
        Direction::ToClient => "",
    };
    (!table.is_empty()).then(|| {
        format!(
            "### {title}\n\n{table}\n`>=`: the generator or its core was the limit. Without loss: in one of \
             {ATTEMPTS} trials at most a share of {LOSS_FREE} lost, beyond the share of the time that the hypervisor had a \
             core away. At most: flat out for what stays in XDP (beyond its ring \
             nothing costs it time), else the rate without loss. CPU: seconds for a million packets, of the relay's \
             threads and its side's NAPI threads, at that rate. Rounds: {rounds}.\n{plot}"
        )
    })
}

/// Calls of SIP proxies.
pub fn calls(rates: &Rates) -> Option<String> {
    let mut text = String::new();
    for (call, direction) in
        [(Call::Plain, Direction::ToPeer), (Call::Plain, Direction::ToClient), (Call::ToSrtp, Direction::ToPeer)]
    {
        let wanted = |key: &Key| key.variant == call.title() && key.direction == direction;
        let rtpengine = rates.all(|key| wanted(key) && key.subject == Subject::Rtpengine).next();
        let rtpengine = rtpengine.and_then(|(_, found)| found.cost());
        let at_common = format!("at {COMMON_RATE}/s");
        let heads =
            ["relay", "packets/s without loss", "at most", "CPU s/million", "rtpengine's divided by it", &at_common];
        let mut table = Table::new(&heads);
        for (key, found) in rates.all(wanted) {
            table.row([
                key.subject.title().to_owned(),
                format!("{}{}", if found.limited { ">= " } else { "" }, whole(found.rate())),
                whole(found.most()),
                places(found.cost().map(|ns| ns / 1e3), 2),
                places(ratio(rtpengine, found.cost()), 2),
                places(found.common_cost().map(|ns| ns / 1e3), 2),
            ]);
        }
        if !table.is_empty() {
            let way = if direction == Direction::ToPeer { "caller to callee" } else { "callee to caller" };
            text += &format!("{}, {way}:\n\n{table}\n", call.title());
        }
    }
    (!text.is_empty()).then(|| {
        format!(
            "### Calls of a SIP proxy\n\n{CALLS} calls of {} octets of RTP, offered and answered by the same ng messages. The bare \
             programs beside them look at nothing, and encrypt nothing but where that is said.\n\n{text}",
            Load::calls(CALLS).rtp_octets
        )
    })
}

/// Costs as flows grow.
pub fn flows(rates: &Rates) -> Option<String> {
    let mut counts = GROWING.to_vec();
    counts.push(FLOWS);
    counts.sort_unstable();
    let heads: Vec<String> = counts.iter().map(|flows| whole(Some(f64::from(*flows)))).collect();
    let heads: Vec<&str> = std::iter::once("relay, by flows").chain(heads.iter().map(String::as_str)).collect();
    let (mut rate, mut cost) = (Table::new(&heads), Table::new(&heads));
    let grown = |key: &Key| key.load == Load::calls(GROWING[0]) && key.variant.is_empty();
    for (key, _) in rates.all(grown) {
        let of = |flows: &u32| rates.find(&Key { load: Load::calls(*flows), ..key.clone() });
        let cells = |figure: &dyn Fn(&Found) -> String| -> Vec<String> {
            let cell = |flows| of(flows).map_or(NONE.to_owned(), figure);
            std::iter::once(key.title()).chain(counts.iter().map(cell)).collect()
        };
        rate.row(cells(&|found| whole(found.most())));
        cost.row(cells(&|found| places(found.cost().map(|ns| ns / 1e3), 2)));
    }
    (!rate.is_empty()).then(|| {
        format!(
            "### As flows grow\n\nPackets/s of one core (as \"at most\" above), client to peer:\n\n{rate}\n\
             CPU seconds for a million packets then:\n\n{cost}\n\
             ![CPU time of a packet as flows grow](bench/flows.svg)\n\n\
             Up to 10,000 flows each has its own client; 100,000 are ten channels of each of 10,000 allocations, or ten \
             client addresses where there are no channels. rtpengine takes four ports and four open files for a call, so \
             that one address, and a process of this machine, have no room for that many.\n"
        )
    })
}

/// Ways to receive and send.
pub fn io(rates: &Rates) -> Option<String> {
    let at_common = format!("at {COMMON_RATE}/s");
    let mut table = Table::new(&[
        "relay",
        "calls: packets/s without loss",
        "CPU s/million",
        &at_common,
        "delay p50 then, us",
        "p99",
        "video: packets/s without loss",
        "CPU s/million",
    ]);
    let videos: Vec<(&Key, _)> = rates.all(|key| key.load.train > 1).collect();
    let calls = |key: &Key| {
        let asked = !key.variant.is_empty() || videos.iter().any(|(video, _)| video.subject == key.subject);
        key.load == Load::calls(FLOWS) && key.direction == Direction::ToPeer && key.arms == Arms::One && asked
    };
    for (key, found) in rates.all(calls) {
        let video = videos.iter().find(|(video, _)| (video.subject, &video.variant) == (key.subject, &key.variant));
        let video = video.map(|(_, found)| *found);
        table.row([
            key.title(),
            whole(found.rate()),
            places(found.cost().map(|ns| ns / 1e3), 2),
            places(found.common_cost().map(|ns| ns / 1e3), 2),
            whole(found.common_delay(0.5)),
            whole(found.common_delay(0.99)),
            whole(video.and_then(Found::rate)),
            places(video.and_then(Found::cost).map(|ns| ns / 1e3), 2),
        ]);
    }
    let Load { rtp_octets, train, flows, .. } = videos.first().map(|(key, _)| key.load)?;
    Some(format!(
        "### Ways to receive and send\n\n{table}\nDelays: link included, of bursts of 16 packets. Video: {flows} streams, \
         rows of {train} packets of {rtp_octets} octets, where GRO and GSO find something to merge; with calls, \
         neighbouring packets are never of one stream.\n"
    ))
}

/// Time inside XDP, and what follows for real cards.
pub fn program(rates: &Rates) -> Option<String> {
    let floor = rates.find(&Key::usual(Subject::Drop)).and_then(Found::program_ns)?;
    let mut table = Table::new(&[
        "program",
        "flows",
        "ns inside",
        "less those of a drop",
        "ns of the core, link included",
        "packets/s of a core with a card, on paper",
        "share of a core at 10 Gbit/s",
    ]);
    for (key, found) in rates.all(|key| key.direction == Direction::ToPeer && key.load.train == 1) {
        let Some(ns) = found.program_ns() else { continue };
        let net = (ns - floor).max(0.0);
        let on_card = net + CARD_NS * if key.subject == Subject::Drop { 1.0 } else { 2.0 };
        let bits = (HEADERS + f64::from(key.load.rtp_octets)) * 8.0 + WIRE_BITS;
        table.row([
            key.title(),
            whole(Some(f64::from(key.load.flows))),
            whole(Some(ns)),
            whole(Some(net)),
            whole(found.cost()),
            whole(Some(1e9 / on_card)),
            format!("{:.0} %", 10.0 / bits * on_card * 100.0),
        ]);
    }
    (!table.is_empty()).then(|| {
        format!(
            "### Inside XDP\n\n{table}\nInside: by the kernel's BPF statistics (`run_time_ns`/`run_cnt`), flat out; \
             reading their clock is in it, so a drop's time is taken off. The rest of the core's time is veth: receiving, \
             transmitting, waking. On a card the driver takes its place. On paper: {CARD_NS} ns to receive (one core drops \
             24 Mpps by mlx5 in \"The eXpress Data Path\", CoNEXT 2018, section 4) and, assumed, as much to send.\n"
        )
    })
}

/// What the link costs.
pub fn link(records: &[Record]) -> Option<String> {
    let mut groups: BTreeMap<_, [Vec<f64>; 2]> = BTreeMap::new();
    for record in records {
        let Outcome::Link { subject, far_us, socket_buffers, common, flat_out } = &record.outcome else { continue };
        let [at_common, full] = groups.entry((*subject, *socket_buffers, *far_us)).or_default();
        at_common.push(common.threads_ns_per_packet());
        full.extend(flat_out.iter().map(|trial| trial.threads_ns_per_packet()));
    }
    let common = format!("ns/packet at {COMMON_RATE}/s");
    let mut table = Table::new(&["relay", "<packets arrive as", "<far end", &common, "flat out"]);
    for ((subject, socket_buffers, far_us), [common, full]) in groups {
        table.row([
            subject.title().to_owned(),
            if socket_buffers { "socket buffers" } else { "XDP frames" }.to_owned(),
            if far_us == 0 { "woken by the sender".to_owned() } else { format!("polls every {far_us} us") },
            whole(median(&common)),
            whole(median(&full)),
        ]);
    }
    (!table.is_empty()).then(|| format!("### What the link costs\n\nCPU time of the relay's core.\n\n{table}"))
}
