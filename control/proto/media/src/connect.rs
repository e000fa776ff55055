//! Two parties talk with each other without an offer and an answer between them.

use crate::call::{Call, Part, PartyId, Stream};
use crate::command::Connect;
use crate::refusal::Refusal;

/// Connects two parties. Whom they talked with before hears nobody; subscribers stay.
pub(crate) fn connect(call: &mut Call, connect: &Connect) -> Result<(), Refusal> {
    if let Some(other) = connect.to_call_id.as_deref().filter(|other| **other != *call.call_id) {
        return Err(Refusal::OtherCall(connect.call_id.clone(), other.to_owned()));
    }
    let one = party(call, "from-tag", &connect.from_tag)?;
    let other = party(call, "to-tag", &connect.to_tag)?;
    if one == other {
        let (call_id, tag) = (call.call_id.to_string(), connect.to_tag.clone());
        return Err(Refusal::OtherPart { what: "to-tag", tag, call_id, does: "is the from-tag too" });
    }
    let there = renumbered(call, one, other)?;
    let back = renumbered(call, other, one)?;
    for party in &mut call.parties {
        if party.peer == Some(one) || party.peer == Some(other) {
            party.peer = None;
        }
    }
    for (id, peer, changes) in [(one, other, there), (other, one, back)] {
        let party = call.party_mut(id).expect("it was found just now");
        (party.part, party.peer) = (Part::Talks, Some(peer));
        for (stream, changes) in party.streams.iter_mut().zip(changes) {
            if let Some(stream) = stream {
                stream.renumbered = Some(changes).filter(|changes| !changes.is_empty()).map(Into::into);
            }
        }
    }
    call.answered = true;
    Ok(())
}

/// A party with media, that speaks.
fn party(call: &Call, what: &'static str, tag: &str) -> Result<PartyId, Refusal> {
    let (call_id, value) = (call.call_id.to_string(), tag.to_owned());
    let Some(party) = call.by_tag(tag).and_then(|id| call.party(id)) else {
        return Err(Refusal::UnknownParty { what, value, call_id });
    };
    match party.part {
        Part::Subscribes => Err(Refusal::OtherPart { what, tag: value, call_id, does: party.part.does() }),
        Part::Talks | Part::Publishes if party.streams.iter().flatten().next().is_none() => {
            Err(Refusal::NothingToHear { tag: value, call_id })
        }
        Part::Talks | Part::Publishes => Ok(party.id),
    }
}

/// For each m-line that both have, the payload types of one that the other calls otherwise.
fn renumbered(call: &Call, one: PartyId, other: PartyId) -> Result<Vec<Vec<(u8, u8)>>, Refusal> {
    let (Some(one), Some(other)) = (call.party(one), call.party(other)) else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for (index, (one, other)) in one.streams.iter().zip(&other.streams).enumerate() {
        lines.push(match (one, other) {
            (Some(one), Some(other)) => changes(one, other).ok_or(Refusal::NoCommonFormat(index + 1))?,
            _ => Vec::new(),
        });
    }
    Ok(lines)
}

/// Payload types that stand for the same under another number. None without anything in common. After a restart only what
/// the relay knows of formats can be compared.
fn changes(one: &Stream, other: &Stream) -> Option<Vec<(u8, u8)>> {
    if one.kind != other.kind {
        return None;
    }
    let (Some(ours), Some(theirs)) = (one.encoding.as_deref(), other.encoding.as_deref()) else {
        return one.formats.iter().any(|format| other.formats.contains(format)).then(Vec::new);
    };
    let (ours, theirs) = (names(ours), names(theirs));
    let same = ours.iter().filter_map(|(number, name)| {
        // The same number if it may be, else the first.
        let known = |(_, known): &&(u8, String)| known == name;
        let there = theirs.iter().filter(known).find(|(there, _)| there == number);
        Some((*number, there.or_else(|| theirs.iter().find(known))?.0))
    });
    let same: Vec<(u8, u8)> = same.collect();
    let changed = same.iter().copied().filter(|(from, to)| from != to).take(raceway_api::limits::ROUTE_CHANGES_MAX);
    (!same.is_empty()).then(|| changed.collect())
}

/// What payload types of an encoding stand for; those without `a=rtpmap` for what their number always does.
fn names(encoding: &str) -> Vec<(u8, String)> {
    let map = |format: &str| {
        let mut maps = encoding.lines().filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '));
        maps.find(|(number, _)| *number == format).map(|(_, name)| name.trim().to_ascii_lowercase())
    };
    let known = |format: &str| {
        let number: u8 = format.parse().ok()?;
        let name =
            map(format).or_else(|| raceway_sdp::encoding::fixed(number).map(|name| name.to_ascii_lowercase()))?;
        Some((number, name.trim_end_matches("/1").to_owned()))
    };
    crate::subscribe::formats(encoding).filter_map(known).collect()
}
