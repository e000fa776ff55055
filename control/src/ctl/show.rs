//! Replies for people and for scripts.

use std::io::Write;

use raceway_control::admin::protocol::{RelayAddress, RelayStatus, Reply, Status};
use raceway_control::admin::view::{Flow, Session};
use serde_json::Value;

use crate::calls;
use crate::table::{Side, table};

/// Prints; a reader that has gone away is no fault.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.write_all(if text.ends_with('\n') { b"" } else { b"\n" });
}

/// The content of the reply, without its kind; a refusal is `{"error": ...}`.
pub fn json(reply: &Reply) -> String {
    let value = match reply {
        Reply::Refused(why) => serde_json::json!({ "error": why }),
        other => match serde_json::to_value(other) {
            Ok(Value::Object(object)) => object.into_iter().next().map_or(Value::Null, |(_, content)| content),
            Ok(value) => value,
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        },
    };
    format!("{value:#}")
}

/// For people.
pub fn text(reply: &Reply) -> String {
    match reply {
        Reply::Status(status) => self::status(status),
        Reply::Sessions { sessions, total } => self::sessions(sessions, *total),
        Reply::Session { session, flows } => self::session(session, flows.as_deref()),
        Reply::Flows { flows, total } => rest(self::flows(flows), flows.len(), *total, "flows"),
        Reply::Calls { calls, total } => calls::list(calls, *total),
        Reply::Call(call) => calls::show(call),
        Reply::Terminated { id } => format!("Call {} has ended", printable(id)),
        Reply::Reloaded { changes, restart } => reloaded(changes, restart),
        Reply::Ended { id } => format!("Session {id} has ended"),
        Reply::Drained { on: true, sessions } => {
            format!("Draining: new allocations are refused; sessions left: {sessions}")
        }
        Reply::Drained { on: false, sessions } => format!("Accepting allocations again; sessions: {sessions}"),
        Reply::LogLevel { level } => format!("Log level of control and relay is {level} until their next start"),
        Reply::Refused(why) => why.clone(),
    }
}

fn reloaded(changes: &[String], restart: &[String]) -> String {
    if changes.is_empty() && restart.is_empty() {
        return "Nothing has changed".to_owned();
    }
    changes.iter().chain(restart).map(|line| format!("{line}\n")).collect()
}

fn status(status: &Status) -> String {
    let mut text = format!(
        "raceway-control {}: {}, up {}, process {}, account {}\n",
        status.version,
        status.state,
        duration(status.uptime_s),
        status.pid,
        status.user
    );
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<14} {value}\n"));
    line("configuration", status.config.clone().unwrap_or_else(|| "none: defaults".to_owned()));
    line("realm", status.realm.clone());
    line("listening", status.listeners.join(", "));
    let relayed = status.relay_addresses.iter().map(|RelayAddress { internal, external }| {
        if internal == external { internal.clone() } else { format!("{internal} (seen as {external})") }
    });
    line("relaying", format!("{}, ports {}", relayed.collect::<Vec<_>>().join(", "), status.port_range));
    line("metrics", status.metrics.clone().unwrap_or_else(|| "off".to_owned()));
    let (v4, v6) = (status.allocations_ipv4, status.allocations_ipv6);
    line("proxies", if status.proxies.is_empty() { "not listened to".to_owned() } else { status.proxies.join(", ") });
    line("calls", status.calls.to_string());
    line("sessions", format!("{} ({v4} IPv4 and {v6} IPv6 relayed addresses)", status.sessions));
    match &status.relay {
        Some(relay) => text.push_str(&self::relay(relay)),
        None => text.push_str("raceway-relay: not there; start it with the same configuration\n"),
    }
    for problem in &status.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}

fn relay(relay: &RelayStatus) -> String {
    let here = if relay.connected { "connected" } else { "away; these are its last figures" };
    let mut text = format!("raceway-relay {}: {here}\n", relay.version);
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<14} {value}\n"));
    let (xdp, worker) = (relay.flows_xdp, relay.flows_worker);
    line("flows", format!("{xdp} in XDP, {worker} in workers only, of {}", relay.flows_max));
    let (xdp, worker) = (relay.packets_xdp, relay.packets_worker);
    let share = if xdp + worker == 0 { 0.0 } else { 100.0 * xdp as f64 / (xdp + worker) as f64 };
    line("packets", format!("{xdp} by XDP ({share:.1} %), {worker} by workers"));
    let busy: Vec<String> = relay.worker_busy.iter().map(|busy| format!("{:.0} %", 100.0 * busy)).collect();
    let busy = if busy.is_empty() { String::new() } else { format!(", busy {}", busy.join(", ")) };
    line("workers", format!("{}{busy}", relay.workers));
    let drops: Vec<String> = relay.drops.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    line("dropped", if drops.is_empty() { "nothing".to_owned() } else { drops.join(", ") });
    line("reconnected", format!("{} times", relay.control_restarts));
    text.push('\n');
    let rows: Vec<Vec<String>> =
        relay.interfaces.iter().map(|i| vec![i.name.clone(), i.xdp.clone(), i.reason.clone()]).collect();
    text.push_str(&table(&[("INTERFACE", Side::Left), ("XDP", Side::Left), ("WHY", Side::Left)], &rows));
    text
}

/// With how many are not shown.
pub fn rest(mut text: String, shown: usize, total: usize, what: &str) -> String {
    if shown < total {
        text.push_str(&format!("{} more {what}; --limit shows more\n", total - shown));
    }
    text
}

fn sessions(sessions: &[Session], total: usize) -> String {
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|session| {
            let relayed: Vec<String> = session.relayed.iter().map(|r| r.external.to_string()).collect();
            let left = session.relayed.iter().map(|r| r.expires_in_s).max().unwrap_or(0);
            vec![
                session.id.to_string(),
                session.client.to_string(),
                printable(&session.user),
                relayed.join(" "),
                session.permissions.len().to_string(),
                session.channels.len().to_string(),
                duration(left),
            ]
        })
        .collect();
    let headings = [
        ("SESSION", Side::Right),
        ("CLIENT", Side::Left),
        ("USER", Side::Left),
        ("RELAYED ADDRESS", Side::Left),
        ("PERMISSIONS", Side::Right),
        ("CHANNELS", Side::Right),
        ("EXPIRES IN", Side::Right),
    ];
    rest(table(&headings, &rows), sessions.len(), total, "sessions")
}

/// A name that a client chose (shared-secret credentials hold any text), without what moves a terminal's cursor or
/// turns the direction of a line.
pub fn printable(name: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() || turns(c) { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    text
}

fn session(session: &Session, flows: Option<&[Flow]>) -> String {
    let mut text = format!(
        "session {}: user {}, client {} at {}, worker {}\n",
        session.id,
        printable(&session.user),
        session.client,
        session.listener,
        session.worker
    );
    for r in &session.relayed {
        let seen = if r.internal == r.external { String::new() } else { format!(" (here {})", r.internal) };
        text.push_str(&format!("  relayed     {}{seen}, expires in {}\n", r.external, duration(r.expires_in_s)));
    }
    for p in &session.permissions {
        text.push_str(&format!("  permission  {}, expires in {}\n", p.peer, duration(p.expires_in_s)));
    }
    for c in &session.channels {
        text.push_str(&format!(
            "  channel     {:#06x} to {}, expires in {}\n",
            c.number,
            c.peer,
            duration(c.expires_in_s)
        ));
    }
    text.push('\n');
    match flows {
        Some(flows) => text.push_str(&self::flows(flows)),
        None => text.push_str("flows are not known while raceway-relay is away\n"),
    }
    text
}

fn flows(flows: &[Flow]) -> String {
    let rows: Vec<Vec<String>> = flows.iter().map(flow_row).collect();
    let headings = [
        ("SESSION", Side::Right),
        ("FROM", Side::Left),
        ("AT", Side::Left),
        ("FRAMING", Side::Left),
        ("ACTION", Side::Left),
        ("TO", Side::Left),
        ("PATH", Side::Left),
        ("PACKETS", Side::Right),
        ("OCTETS", Side::Right),
        ("DROPPED", Side::Right),
        ("RTP LOST", Side::Right),
        ("JITTER", Side::Right),
        ("EXPIRES IN", Side::Right),
    ];
    table(&headings, &rows)
}

fn flow_row(flow: &Flow) -> Vec<String> {
    let action = match &flow.to_framing {
        Some(framing) => format!("{} as {framing}", flow.action),
        None => flow.action.clone(),
    };
    let lost = flow.rtp.map_or_else(|| "-".to_owned(), |rtp| rtp.lost.to_string());
    let jitter = flow.rtp.and_then(|rtp| rtp.jitter_us);
    vec![
        flow.session.to_string(),
        flow.from.clone(),
        flow.at.to_string(),
        flow.framing.clone(),
        action,
        flow.to.map_or_else(|| "-".to_owned(), |to| to.to_string()),
        if flow.xdp { "xdp" } else { "worker" }.to_owned(),
        flow.packets.to_string(),
        flow.octets.to_string(),
        flow.dropped.to_string(),
        lost,
        jitter.map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", f64::from(us) / 1000.0)),
        duration(flow.expires_in_s),
    ]
}

/// The two largest units.
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        assert_eq!([5, 65, 3700, 90_000].map(duration), ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_name_cannot_forge_a_row_or_reach_the_terminal() {
        assert_eq!(printable("17:eve\u{1b}[2J\nroot\u{202e}"), "17:eve\\u{1b}[2J\\u{a}root\\u{202e}");
        assert_eq!(printable("17:Zoë 東京"), "17:Zoë 東京");
    }

    #[test]
    fn json_is_the_content_alone() {
        let reply = Reply::Drained { on: true, sessions: 3 };
        assert_eq!(json(&reply), "{\n  \"on\": true,\n  \"sessions\": 3\n}");
        assert_eq!(json(&Reply::Refused("no".to_owned())), "{\n  \"error\": \"no\"\n}");
    }

    #[test]
    fn a_reload_tells_each_change() {
        let (changes, restart) = (vec!["a: 1 -> 2 (applied)".to_owned()], vec!["b: 1 -> 2 (needs ...)".to_owned()]);
        assert_eq!(text(&Reply::Reloaded { changes, restart }), "a: 1 -> 2 (applied)\nb: 1 -> 2 (needs ...)\n");
    }
}
