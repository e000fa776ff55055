//! What was aimed at, and whether it was met.

use super::rates::{Found, Key, Rates};
use super::table::{Table, ratio};
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
