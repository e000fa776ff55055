//! Tables out of records.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Direction;
use crate::record::{Outcome, Record, Setting};
use crate::subject::Subject;
use crate::suite::COMMON_RATE;
use crate::topology::Arms;
use crate::trial::{ATTEMPTS, LOSS_FREE};

/// Between these lines of docs/BENCHMARKS.md the tables stand.
const BEGIN: &str = "<!-- tables: begin (written by scripts/bench) -->";
const END: &str = "<!-- tables: end -->";

/// Medians over the rounds of one subject and direction.
#[derive(Default)]
struct Forwarding {
    rate: Vec<f64>,
    cost: Vec<f64>,
    common_cost: Vec<f64>,
    full_rate: Vec<f64>,
    full_cost: Vec<f64>,
    limited: bool,
}

impl Forwarding {
    /// CPU time of a packet on a core with as much to do as it can: flat out in XDP, else at the rate without loss.
    fn busy_cost(&self) -> Option<f64> {
        median(&self.full_cost).or_else(|| median(&self.cost))
    }

    /// Packets a second of that core.
    fn busy_rate(&self) -> Option<f64> {
        median(&self.full_rate).or_else(|| median(&self.rate))
    }
}

#[derive(Default)]
struct Allocation {
    rate: Vec<f64>,
    cost: Vec<f64>,
    memory: Vec<f64>,
}

/// The tables as Markdown.
pub fn tables(records: &[Record]) -> Result<String> {
    let setting = &records.first().context("no records")?.setting;
    let mut forwarding = Groups::new();
    let mut foreign = Vec::new();
    let mut links: BTreeMap<(Subject, bool, u64), Forwarding> = BTreeMap::new();
    let mut allocation: BTreeMap<Subject, Allocation> = BTreeMap::new();
    for record in records {
        match &record.outcome {
            Outcome::Forwarding { subject, direction, arms, loss_free, limited, flat_out, common, .. } => {
                let group = forwarding.entry((*direction, *subject, *arms)).or_default();
                if let Some(best) = loss_free {
                    group.rate.push(best.received_pps);
                    group.cost.push(best.threads_ns_per_packet());
                }
                if let Some(flat_out) = flat_out {
                    group.full_rate.push(flat_out.received_pps);
                    group.full_cost.push(flat_out.threads_ns_per_packet());
                }
                group.limited |= limited;
                foreign
                    .extend([Some(common), loss_free.as_ref()].into_iter().flatten().map(|trial| trial.cost.foreign()));
                group.common_cost.push(common.threads_ns_per_packet());
            }
            Outcome::Link { subject, far_us, socket_buffers, common, flat_out } => {
                let group = links.entry((*subject, *socket_buffers, *far_us)).or_default();
                group.common_cost.push(common.threads_ns_per_packet());
                group.full_cost.extend(flat_out.iter().map(|trial| trial.threads_ns_per_packet()));
            }
            Outcome::Allocation { subject, allocations, seconds, threads_ns_each, resident_octets_each, .. } => {
                let group = allocation.entry(*subject).or_default();
                group.rate.push(f64::from(*allocations) / seconds);
                group.cost.push(*threads_ns_each);
                group.memory.push(*resident_octets_each);
            }
        }
    }
    let mut text = about(setting);
    if let Some(foreign) = median(&foreign) {
        writeln!(text, "Others took {:.0} % of the relay's core meanwhile (median of trials).", foreign * 100.0)?;
    }
    for direction in [Direction::ToPeer, Direction::ToClient] {
        forwarding_table(&mut text, direction, &forwarding)?;
    }
    if !links.is_empty() {
        link_table(&mut text, &links)?;
    }
    if !allocation.is_empty() {
        allocation_table(&mut text, &allocation)?;
    }
    Ok(text)
}

fn about(setting: &Setting) -> String {
    let machine = if setting.virtual_machine { "virtual machine" } else { "machine" };
    format!(
        "Measured at commit {} on a {machine} with {} cores ({}), kernel {}, coturn {}.\n",
        setting.commit,
        setting.cores,
        setting.processor,
        setting.kernel,
        setting.versions.get("coturn").map_or("?", String::as_str),
    )
}

type Groups = BTreeMap<(Direction, Subject, Arms), Forwarding>;

fn forwarding_table(text: &mut String, direction: Direction, groups: &Groups) -> Result<()> {
    let of = |subject| groups.get(&(direction, subject, Arms::One));
    if !groups.keys().any(|(way, ..)| *way == direction) {
        return Ok(());
    }
    let title = match direction {
        Direction::ToPeer => "Client to peer (ChannelData in, plain RTP out)",
        Direction::ToClient => "Peer to client (plain RTP in, ChannelData out)",
    };
    writeln!(text, "\n### {title}\n")?;
    writeln!(
        text,
        "| relay | packets/s without loss | packets/s at most | times coturn | CPU ns/packet then | coturn's divided \
         by it | CPU ns/packet at {COMMON_RATE}/s | coturn's divided by it |\n|---|---:|---:|---:|---:|---:|---:|---:|"
    )?;
    let coturn = of(Subject::Coturn);
    for ((_, subject, arms), group) in groups.iter().filter(|((way, ..), _)| *way == direction) {
        let ratio = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "-".to_owned(),
        };
        let whole = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        let (rate, cost, common) = (group.busy_rate(), group.busy_cost(), median(&group.common_cost));
        writeln!(
            text,
            "| {}{} | {}{} | {} | {} | {} | {} | {} | {} |",
            subject.title(),
            if *arms == Arms::Two { ", to another link" } else { "" },
            if group.limited { ">= " } else { "" },
            whole(median(&group.rate)),
            whole(rate),
            ratio(rate, coturn.and_then(Forwarding::busy_rate)),
            whole(cost),
            ratio(coturn.and_then(Forwarding::busy_cost), cost),
            whole(common),
            ratio(coturn.and_then(|coturn| median(&coturn.common_cost)), common),
        )?;
    }
    let two_arms = groups.get(&(direction, Subject::RacewayXdp, Arms::Two)).and_then(Forwarding::busy_cost);
    targets(text, &of, two_arms)?;
    writeln!(
        text,
        "\n`>=`: the generator or its core was the limit. Without loss: at most a share of {LOSS_FREE} lost in one of {ATTEMPTS} trials. At most: flat out \
         for what stays in XDP (beyond its ring nothing costs it time), else the rate without loss. CPU: the relay's \
         threads and its side's NAPI threads. Median of rounds: {}.",
        groups.values().map(|group| group.common_cost.len()).max().unwrap_or(0)
    )?;
    Ok(())
}

fn targets<'a>(
    text: &mut String,
    of: &impl Fn(Subject) -> Option<&'a Forwarding>,
    two_arms: Option<f64>,
) -> Result<()> {
    let rate = |subject| of(subject).and_then(|group| median(&group.rate));
    let cost = |subject| of(subject).and_then(Forwarding::busy_cost);
    let mut lines = Vec::new();
    let mut line = |what: &str, value: Option<f64>, target: f64| {
        if let Some(value) = value {
            let met = if value >= target { "met" } else { "**missed**" };
            lines.push(format!("| {what} | {value:.2} | {target} | {met} |"));
        }
    };
    let divide = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
    let (workers, xdp) = (Subject::RacewayWorkers, Subject::RacewayXdp);
    line("workers' rate / coturn's", divide(rate(workers), rate(Subject::Coturn)), 1.5);
    line("workers' rate / bare forwarder's", divide(rate(workers), rate(Subject::Forwarder)), 0.85);
    line("coturn's CPU time a packet / XDP's", divide(cost(Subject::Coturn), cost(xdp)), 8.0);
    line("bare reflector's CPU time a packet / XDP's", divide(cost(Subject::ReflectTx), cost(xdp)), 0.75);
    line("redirecting reflector's / XDP's to another link", divide(cost(Subject::ReflectRedirect), two_arms), 0.75);
    if !lines.is_empty() {
        writeln!(text, "\n| target | measured | wanted | |\n|---|---:|---:|---|\n{}", lines.join("\n"))?;
    }
    Ok(())
}

fn link_table(text: &mut String, groups: &BTreeMap<(Subject, bool, u64), Forwarding>) -> Result<()> {
    writeln!(text, "\n### What the link costs\n\nCPU ns/packet of the relay's core.\n")?;
    writeln!(text, "| relay | packets arrive as | far end | at {COMMON_RATE}/s | flat out |\n|---|---|---|---:|---:|")?;
    let whole = |values: &[f64]| median(values).map_or("-".to_owned(), |value| format!("{value:.0}"));
    for ((subject, socket_buffers, far_us), group) in groups {
        let far = if *far_us == 0 { "woken by the sender".to_owned() } else { format!("polls every {far_us} us") };
        let (common, full) = (whole(&group.common_cost), whole(&group.full_cost));
        let frames = if *socket_buffers { "socket buffers" } else { "XDP frames" };
        writeln!(text, "| {} | {frames} | {far} | {common} | {full} |", subject.title())?;
    }
    Ok(())
}

fn allocation_table(text: &mut String, groups: &BTreeMap<Subject, Allocation>) -> Result<()> {
    writeln!(text, "\n### Allocations\n")?;
    writeln!(
        text,
        "| server | made a second | CPU us each | a second on one core by that | resident octets each |\n\
         |---|---:|---:|---:|---:|"
    )?;
    for (subject, group) in groups {
        let value = |values: &[f64]| median(values).unwrap_or(0.0);
        let cost = value(&group.cost);
        writeln!(
            text,
            "| {} | {:.0} | {:.1} | {:.0} | {:.0} |",
            subject.title(),
            value(&group.rate),
            cost / 1e3,
            1e9 / cost,
            value(&group.memory)
        )?;
    }
    Ok(())
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// Puts the tables into a document, in the place of those before.
pub fn write(document: &Path, tables: &str) -> Result<()> {
    let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN:?}"))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("no line {END:?}"))?;
    Ok(fs::write(document, format!("{head}{BEGIN}\n{tables}{END}{tail}"))?)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
