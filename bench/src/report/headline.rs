//! The few figures that the README shows: those that hold on a machine with other work. Delays do not, and stand in the
//! document with what disturbed them.

use super::rates::{Found, Key, Rates};
use super::table::{Table, whole};
use crate::record::{Outcome, Record};
use crate::subject::Subject;

/// Whose figures, in the order of columns.
const SUBJECTS: [Subject; 4] = [Subject::RacewayXdp, Subject::RacewayWorkers, Subject::Coturn, Subject::Rtpengine];

/// The table, and what it was measured on.
pub fn headline(records: &[Record], rates: &Rates) -> String {
    let titles = SUBJECTS.map(|subject| subject.title().replace('*', ""));
    let mut table = Table::new(&["client to peer", &titles[0], &titles[1], &titles[2], &titles[3]]);
    let mut row = |what: String, figure: &dyn Fn(Subject) -> Option<f64>| {
        table.row(std::iter::once(what).chain(SUBJECTS.map(|subject| whole(figure(subject)))));
    };
    let found = |subject| rates.find(&Key::usual(subject));
    row("packets a second that one core takes (XDP: flat out; others: without loss)".to_owned(), &|subject| {
        found(subject).and_then(Found::most)
    });
    row("processor time of a packet then, ns, everything included".to_owned(), &|subject| {
        found(subject).and_then(Found::cost)
    });
    row("memory of an allocation with a channel, or a call, octets, the kernel's included".to_owned(), &|subject| {
        memory(records, subject)
    });
    table.to_string()
}

fn memory(records: &[Record], wanted: Subject) -> Option<f64> {
    records.iter().find_map(|record| match &record.outcome {
        Outcome::Sessions { subject, active, .. } if *subject == wanted => {
            Some((active.resident + active.kernel) as f64)
        }
        _ => None,
    })
}
