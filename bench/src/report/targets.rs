//! What was aimed at, and whether it was met.

use super::rates::{Found, Key, Rates};
use super::service::added;
use super::table::{NONE, Table, ratio};
use crate::record::{Outcome, Record};
use crate::scenario::calls::CALLS;
use crate::scenario::delay::SHARES;
use crate::session::Call;
use crate::stand::frames::Load;
use crate::stand::topology::{Arms, Direction};
use crate::subject::Subject;

/// The aims as a table.
pub fn targets(rates: &Rates) -> Option<String> {
    let mut table =
        Table::new(&["target", "client to peer", "peer to client", "wanted", "<client to peer", "<peer to client"]);
    let mut line = |what: &str, wanted: f64, figure: &dyn Fn(Direction) -> Option<f64>| {
        let figures = [Direction::ToPeer, Direction::ToClient].map(figure);
        if figures.iter().all(Option::is_none) {
            return;
        }
        let value = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let met = |value: Option<f64>| match value {
            Some(value) if value >= wanted => "met",
            Some(_) => "**missed**",
            None => "",
        };
        let [peer, client] = figures;
        let cells = [value(peer), value(client), wanted.to_string(), met(peer).to_owned(), met(client).to_owned()];
        table.row(std::iter::once(what.to_owned()).chain(cells));
    };
    let of = |subject, direction| rates.find(&Key { direction, ..Key::usual(subject) });
    let rate = |subject, direction| of(subject, direction).and_then(Found::rate);
    let cost = |subject, direction| of(subject, direction).and_then(Found::cost);
    let forwarders = [Subject::Mmsg, Subject::MmsgGso, Subject::Uring, Subject::UringGso];
    let best = |direction| forwarders.iter().filter_map(|subject| rate(*subject, direction)).reduce(f64::max);
    let two_arms = Key { arms: Arms::Two, ..Key::usual(Subject::RacewayXdp) };
    let to_peer = |direction| (direction == Direction::ToPeer).then_some(());
    let (workers, xdp) = (Subject::RacewayWorkers, Subject::RacewayXdp);
    line("workers' rate / coturn's", 2.0, &|d| ratio(rate(workers, d), rate(Subject::Coturn, d)));
    line("workers' rate / the best bare forwarder's", 0.9, &|d| ratio(rate(workers, d), best(d)));
    line("coturn's CPU time of a packet / XDP's", 10.0, &|d| ratio(cost(Subject::Coturn, d), cost(xdp, d)));
    line("bare XDP reflector's / XDP's", 0.85, &|d| ratio(cost(Subject::Reflect, d), cost(xdp, d)));
    line("XDP with one lookup's / XDP's", 0.85, &|d| ratio(cost(Subject::Lookup, d), cost(xdp, d)));
    line("redirecting XDP with one lookup's / XDP's to another link", 0.85, &|d| {
        to_peer(d)?;
        ratio(cost(Subject::LookupRedirect, d), rates.find(&two_arms).and_then(Found::cost))
    });
    (!table.is_empty()).then(|| format!("### Targets\n\n{table}"))
}

/// The aims for calls of SIP proxies, as a table.
pub fn calls(rates: &Rates, records: &[Record]) -> Option<String> {
    let cost = |subject, call: Call, direction| {
        let (variant, load) = (call.title().to_owned(), Load::calls(CALLS));
        rates.find(&Key { subject, variant, direction, arms: Arms::One, load }).and_then(Found::cost)
    };
    let of = |subject, call, other, direction| ratio(cost(other, call, direction), cost(subject, call, direction));
    let late = |subject, call: Call| {
        records.iter().find_map(|record| match &record.outcome {
            Outcome::Delay { subject: found, variant, share, with, without, .. }
                if (*found, &**variant, *share) == (subject, call.title(), SHARES[1]) =>
            {
                added(&with.delays, &without.delays, 0.99)
            }
            _ => None,
        })
    };
    let (plain, secured) = (Call::Plain, Call::ToSrtp);
    let (xdp, workers, rtpengine) = (Subject::CallsXdp, Subject::CallsWorkers, Subject::Rtpengine);
    let (to_peer, to_client) = (Direction::ToPeer, Direction::ToClient);
    let least: [(&str, Option<f64>, f64); 5] = [
        ("rtpengine's CPU time of a packet / XDP's, from the caller", of(xdp, plain, rtpengine, to_peer), 14.0),
        ("the same from the callee", of(xdp, plain, rtpengine, to_client), 14.0),
        ("bare XDP reflector's / XDP's", of(xdp, plain, Subject::Reflect, to_peer), 0.85),
        ("RTP to SRTP: rtpengine's / workers'", of(workers, secured, rtpengine, to_peer), 3.0),
        (
            "RTP to SRTP: bare forwarder's that encrypts / workers'",
            of(workers, secured, Subject::UringSrtp, to_peer),
            0.8,
        ),
    ];
    let most = [
        ("added p99 at 70 % of the rate, us: XDP", late(xdp, plain), 200.0),
        ("the same: workers, RTP to SRTP", late(workers, secured), 200.0),
    ];
    let mut table = Table::new(&["target", "measured", "<wanted", "<"]);
    let mut row = |what: &str, figure: Option<f64>, wanted: String, met: bool| {
        let shown = figure.map_or(NONE.to_owned(), |figure| format!("{figure:.2}"));
        let verdict = if figure.is_none() {
            ""
        } else if met {
            "met"
        } else {
            "**missed**"
        };
        table.row([what.to_owned(), shown, wanted, verdict.to_owned()]);
    };
    for (what, figure, wanted) in least {
        row(what, figure, format!("at least {wanted}"), figure.is_some_and(|figure| figure >= wanted));
    }
    for (what, figure, wanted) in most {
        row(what, figure, format!("under {wanted}"), figure.is_some_and(|figure| figure < wanted));
    }
    let any = least.iter().chain(&most).any(|(_, figure, _)| figure.is_some());
    any.then(|| format!("### Targets for calls of a SIP proxy\n\n{table}"))
}
