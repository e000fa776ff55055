//! `racewayctl doctor`: the relay's checks of the machine, and control's own.

use std::process::ExitCode;

use raceway_config::Config;
use raceway_control::admin::protocol::{Reply, Request, Status};
use raceway_control::boot::addresses::MachineAddresses;
use raceway_control::boot::file::ConfigFile;
use raceway_control::boot::machine::{Held, SocketType, check_machine, is_served};
use serde::{Deserialize, Serialize};

use crate::ask::{Place, Trouble, ask};
use crate::{relay, show};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Advise,
    Fail,
}

/// One check, in the form that `raceway-relay doctor --json` has too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Check {
    name: String,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(name: &str, verdict: Verdict, found: impl Into<String>, advice: &str) -> Self {
        let advice = (verdict != Verdict::Ok).then(|| advice.to_owned());
        Self { name: name.to_owned(), verdict, found: found.into(), advice }
    }

    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found, "")
    }
}

/// Runs every check and prints them; the exit code is 1 when one failed.
pub fn run(place: &Place, json: bool) -> ExitCode {
    let mut checks = machine(place);
    checks.extend(configuration(place));
    checks.extend(programs(place));
    if json {
        show::say(&serde_json::to_string_pretty(&checks).expect("strings and enums have a JSON form"));
    } else {
        show::say(&text(&checks));
    }
    ExitCode::from(u8::from(checks.iter().any(|check| check.verdict == Verdict::Fail)))
}

/// What the relay's program finds.
fn machine(place: &Place) -> Vec<Check> {
    let failed = |found: String, advice: &str| vec![Check::new("raceway-relay doctor", Verdict::Fail, found, advice)];
    let output = match relay::command("doctor", place).arg("--json").output() {
        Ok(output) => output,
        Err(error) => return failed(error.to_string(), "install raceway-relay beside racewayctl"),
    };
    match serde_json::from_slice(&output.stdout) {
        Ok(checks) => checks,
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it said nothing").to_owned();
            failed(said, "run `raceway-relay doctor` to see why")
        }
    }
}

fn configuration(place: &Place) -> Vec<Check> {
    let name = "configuration";
    let config = match ConfigFile::open(place.config.as_deref()).and_then(|mut file| file.read()) {
        Ok(config) => config,
        Err(error) => return vec![Check::new(name, Verdict::Fail, error.to_string(), "correct what is named")],
    };
    let whence = place.config.as_ref().map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
    let mut checks = vec![Check::ok(name, whence)];
    let machine = match MachineAddresses::read() {
        Ok(machine) => machine,
        Err(error) => {
            checks.push(Check::new("addresses", Verdict::Fail, error.to_string(), "look at `ip address`"));
            return checks;
        }
    };
    let relay_running = is_served(&place.paths.relay_socket(), SocketType::SeqPacket);
    let control_running = is_served(&place.paths.admin_socket(), SocketType::Stream);
    let listeners: Option<&[_]> = if relay_running { None } else { Some(&[]) };
    let held = Held { listeners, control: control_running, relay_has_rights: true };
    match check_machine(&config, &machine, held) {
        Ok(()) => checks.push(Check::ok("addresses and ports", format!("{} addresses here", machine.all.len()))),
        Err(problems) => checks.extend(problems.0.iter().map(|problem| {
            let found = format!("{}: {}", problem.key, problem.what);
            Check::new("addresses and ports", Verdict::Fail, found, &problem.right)
        })),
    }
    checks.push(reachable(&config, &machine));
    checks
}

/// Relayed addresses that only this machine or its network can reach.
fn reachable(config: &Config, machine: &MachineAddresses) -> Check {
    let name = "relay addresses";
    let relay = machine.relay_addresses(&config.turn);
    let shown: Vec<String> = relay.iter().map(|address| address.external.to_string()).collect();
    let shown = shown.join(", ");
    if relay.iter().all(|address| address.external.is_loopback()) {
        let advice = "clients elsewhere cannot use them: give the machine an address, or name one in relay_addresses";
        return Check::new(name, Verdict::Advise, format!("{shown}: loopback only"), advice);
    }
    let private = relay.iter().any(|r| matches!(r.external, std::net::IpAddr::V4(v4) if v4.is_private()));
    if private {
        let advice = "behind a NAT, name the address that the world sees in external_addresses; \
                      in a private network this is right";
        return Check::new(name, Verdict::Advise, format!("{shown}: private"), advice);
    }
    Check::ok(name, shown)
}

/// The running programs.
fn programs(place: &Place) -> Vec<Check> {
    let name = "raceway-control";
    match ask(place, &Request::Status) {
        Ok(Reply::Status(status)) => running(&status),
        Ok(_) => vec![Check::new(name, Verdict::Fail, "it answered something else", "use programs of one build")],
        Err(trouble @ Trouble::NotRunning { .. }) => {
            let what = trouble.to_string();
            let (found, advice) = what.split_once('\n').unwrap_or((&what, ""));
            vec![Check::new(name, Verdict::Advise, found, advice)]
        }
        Err(trouble) => {
            let what = trouble.to_string();
            let (found, advice) = what.split_once('\n').unwrap_or((&what, ""));
            vec![Check::new(name, Verdict::Fail, found, advice)]
        }
    }
}

fn running(status: &Status) -> Vec<Check> {
    let found = format!("{}, process {}, account {}", status.state, status.pid, status.user);
    let mut checks = vec![match status.state.as_str() {
        "ready" => Check::ok("raceway-control", found),
        "draining" => Check::new("raceway-control", Verdict::Advise, found, "racewayctl drain --off ends it"),
        _ => Check::new("raceway-control", Verdict::Fail, found, "start raceway-relay with the same configuration"),
    }];
    if status.user == "root" {
        let advice = "let it become an ordinary account: [node] user";
        checks.push(Check::new("account of control", Verdict::Fail, "root", advice));
    }
    if let Some(relay) = &status.relay {
        let found = format!("{} of {} flows", relay.flows_xdp + relay.flows_worker, relay.flows_max);
        let full = (relay.flows_xdp + relay.flows_worker) * 10 > u64::from(relay.flows_max) * 9;
        checks.push(match full {
            false => Check::ok("flow table", found),
            true => Check::new("flow table", Verdict::Advise, found, "raise [relay] flows_max and restart the relay"),
        });
    }
    let problem = |what: &String| Check::new("relay", Verdict::Fail, what.clone(), "see the relay's log");
    checks.extend(status.problems.iter().map(problem));
    checks
}

/// One line a check, advice below it.
fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => "OK",
            Verdict::Advise => "ADVICE",
            Verdict::Fail => "WRONG",
        };
        text.push_str(&format!("{mark:<6}  {:width$}  {}\n", check.name, check.found.replace('\n', " / ")));
        if let Some(advice) = &check.advice {
            text.push_str(&format!("{:width$}          -> {advice}\n", ""));
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (ok, advise, fail) = (count(Verdict::Ok), count(Verdict::Advise), count(Verdict::Fail));
    text.push_str(&format!("\n{ok} OK, {advise} with advice, {fail} wrong\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_that_is_not_right_says_what_to_do() {
        let checks = [Check::ok("a", "well"), Check::new("long", Verdict::Fail, "broken", "mend it")];
        assert_eq!(
            text(&checks),
            "OK      a     well\nWRONG   long  broken\n              -> mend it\n\n1 OK, 0 with advice, 1 wrong\n"
        );
    }

    #[test]
    fn the_relays_checks_are_read() {
        let text = r#"[{"name":"kernel","verdict":"advise","found":"5.10","advice":"upgrade"},{"name":"x","verdict":"ok","found":""}]"#;
        let checks: Vec<Check> = serde_json::from_str(text).expect("the relay's form");
        assert_eq!(checks[0], Check::new("kernel", Verdict::Advise, "5.10", "upgrade"));
    }
}
