//! The sections about what users notice: delay, sessions, interruptions. One record is one row.

use super::table::{Table, places, whole};
use crate::record::{Outcome, Record};
use crate::scenario::interruption::{Event, RATE};
use crate::scenario::offers::WINDOW;
use crate::scenario::rate::FLOWS;
use crate::scenario::sessions::PER_SECOND;
use crate::stand::cpu::Memory;
use crate::stand::delay::Delays;

/// Percentiles of delays in tables.
const TOLD: [f64; 3] = [0.5, 0.99, 0.999];

/// Added delay.
pub fn delay(records: &[Record]) -> Option<String> {
    let mut table = Table::new(&[
        "relay",
        "share of its rate",
        "packets/s",
        "lost",
        "added p50, us",
        "p99",
        "p99.9",
        "with link p50, us",
        "p99",
        "p99.9",
    ]);
    for record in records {
        let Outcome::Delay { subject, variant, share, with, without, .. } = &record.outcome else { continue };
        let added = |q| added(&with.delays, &without.delays, q);
        let all = |q| with.delays.at(q).map(|ns| ns as f64 / 1e3);
        let head = [
            if variant.is_empty() { subject.title().to_owned() } else { format!("{}: {variant}", subject.title()) },
            format!("{:.0} %", share * 100.0),
            whole(Some(with.sent_pps)),
            format!("{:.5}", with.loss()),
        ];
        let added = TOLD.map(|q| places(added(q), 1));
        table.row(head.into_iter().chain(added).chain(TOLD.map(|q| places(all(q), 1))));
    }
    (!table.is_empty()).then(|| {
        format!(
            "### Added delay\n\n{table}\n![Percentiles of the added delay at 70 % of the rate](bench/delay.svg)\n\n\
             Its rate: the highest without loss when packets are sent evenly and the far end is woken by each, as here. \
             Delays count from when a packet was due, so a late generator counts too. Added: less the same percentile of \
             the bare XDP reflector at the same rate on the same link.\n"
        )
    })
}

/// A percentile with the subject less that of the link alone, in microseconds.
#[must_use]
pub fn added(with: &Delays, without: &Delays, quantile: f64) -> Option<f64> {
    Some((with.at(quantile)? as f64 - without.at(quantile)? as f64) / 1e3)
}

/// Sessions.
pub fn sessions(records: &[Record]) -> Option<String> {
    let mut table = Table::new(&[
        "server",
        "made a second",
        "CPU us each",
        "a second on one core by that",
        "takes p50, us",
        "p99",
        "p99.9",
        "idle: resident octets",
        "kernel octets",
        "active: resident octets",
        "kernel octets",
    ]);
    let mut when = String::new();
    for record in records {
        let Outcome::Sessions { subject, made, seconds, cost, took, idle, active } = &record.outcome else { continue };
        // These take seconds, so they are measured anew by themselves.
        if record.setting != records[0].setting {
            when = format!("This table: commit {}. ", record.setting.commit);
        }
        let each = cost.threads_ns as f64 / *made as f64;
        let took = TOLD.map(|q| whole(took.at(q).map(|ns| ns as f64 / 1e3)));
        let memory = |memory: &Memory| [memory.resident, memory.kernel].map(|octets| whole(Some(octets as f64)));
        let head = [
            subject.title().to_owned(),
            whole(Some(*made as f64 / seconds)),
            places(Some(each / 1e3), 1),
            whole(Some(1e9 / each)),
        ];
        table.row(head.into_iter().chain(took).chain(memory(idle)).chain(memory(active)));
    }
    (!table.is_empty()).then(|| {
        format!(
            "### Allocations and calls\n\n{table}\n{when}A session is an allocation (two requests, as clients do without a \
             nonce), or a call offered and answered on rtpengine. How long it takes: at {PER_SECOND} a second, counted \
             from when it was to begin. Active: with a channel. Resident: growth of the server's processes; Raceway's \
             tables are there from the start. Kernel: growth of `SUnreclaim` of the machine, sockets mostly.\n"
        )
    })
}

/// Calls set up and deleted.
pub fn offers(records: &[Record]) -> Option<String> {
    let mut table = Table::new(&[
        "server",
        "calls set up and deleted a second",
        "CPU us each",
        "a second on one core by that",
        "set up p50, ms",
        "p99",
    ]);
    for record in records {
        let Outcome::Offers { subject, answered, per_second, took_ms, cost } = &record.outcome else { continue };
        let each = cost.threads_ns as f64 / *answered as f64;
        table.row([
            subject.title().to_owned(),
            whole(Some(*per_second)),
            places(Some(each / 1e3), 1),
            whole(Some(1e9 / each)),
            places(Some(took_ms[0]), 2),
            places(Some(took_ms[1]), 2),
        ]);
    }
    (!table.is_empty()).then(|| {
        format!(
            "### Offers and answers\n\n{table}\nThree commands each: offer, answer, delete; {WINDOW} calls at a time, by \
             `raceway-loadgen call --set-up-only --churn`. Set up: from sending the offer to the answer's answer. One core \
             has the whole of the server, of Raceway both processes.\n"
        )
    })
}

/// Interruptions.
pub fn interruption(records: &[Record]) -> Option<String> {
    let mut table = Table::new(&["relay", "<what happens", "packets lost", "of", "longest gap, ms", "<afterwards"]);
    for record in records {
        let Outcome::Interruption { subject, event, during, after } = &record.outcome else { continue };
        let lost = during.sent.saturating_sub(during.received);
        let afterwards = match after.loss() {
            gone if gone > 0.99 => "the calls are gone",
            most if most > 0.01 => "calls are missing",
            _ => "calls go on",
        };
        let gap = (*event == Event::Nothing || after.loss() < 0.99).then_some(during.gap_ns as f64 / 1e6);
        table.row([
            subject.title().to_owned(),
            event.title().to_owned(),
            whole(Some(lost as f64)),
            whole(Some(during.sent as f64)),
            places(gap, 1),
            afterwards.to_owned(),
        ]);
    }
    (!table.is_empty()).then(|| {
        format!("### Reload and restarts\n\n{table}\n{FLOWS} calls, {RATE} packets/s; a dead program is started again after 100 ms.\n")
    })
}
