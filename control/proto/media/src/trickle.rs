//! Candidates that trickle in after the SDP that they belong to (RFC 8838, RFC 8840).

use raceway_ice::{Candidate, Credentials};
use raceway_units::Instant;

use crate::call::{Call, Party};
use crate::command::Trickle;
use crate::ice;
use crate::interfaces::Interfaces;
use crate::limits;
use crate::refusal::Refusal;

/// A fragment whose party is not known yet: it overtook the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Early {
    at: Instant,
    tag: Box<str>,
    sdp: Box<[u8]>,
}

/// Takes a fragment. What belongs to other credentials than those of the last SDP is past, and left out.
pub(crate) fn trickle(interfaces: &Interfaces, call: &mut Call, trickle: &Trickle) -> Result<(), Refusal> {
    let fragments = raceway_sdp::fragments(&trickle.sdp)?;
    let Some(id) = call.by_tag(&trickle.tag) else {
        if call.early.len() == limits::EARLY_MAX {
            call.early.remove(0);
        }
        call.early.push(Early {
            at: call.signal,
            tag: trickle.tag.as_str().into(),
            sdp: trickle.sdp.as_slice().into(),
        });
        return Ok(());
    };
    let party = call.party_mut(id).expect("it was found just now");
    for (place, fragment) in fragments.iter().enumerate() {
        let index = fragment.mid.as_deref().map_or(Some(place), |mid| party.line_of(mid));
        let Some(index) = index else { continue };
        let credentials = match &fragment.ice.credentials {
            None => None,
            Some(said) => match Credentials::new(&said.fragment, &said.password) {
                Ok(credentials) => Some(credentials),
                Err(_) => continue,
            },
        };
        add(party, index, credentials.as_ref(), &ice::candidates(&fragment.ice, interfaces));
    }
    Ok(())
}

/// A party has a tag now: takes what came too early of it.
pub(crate) fn catch_up(interfaces: &Interfaces, call: &mut Call, tag: &str) {
    let now = call.signal;
    let early = std::mem::take(&mut call.early).into_iter();
    let (due, rest): (Vec<Early>, Vec<Early>) = early.partition(|early| *early.tag == *tag);
    call.early = rest;
    for Early { tag, sdp, .. } in due.into_iter().filter(|early| now.since(early.at) < limits::EARLY) {
        let fragment = Trickle { call_id: String::new(), tag: tag.into(), sdp: sdp.into() };
        // It was read when it came.
        let _ = trickle(interfaces, call, &fragment);
    }
}

/// Adds candidates to what was offered and not answered yet, and to what was agreed on.
fn add(party: &mut Party, index: usize, credentials: Option<&Credentials>, candidates: &[Candidate]) {
    let is_same = |known: &Credentials| credentials.is_none_or(|credentials| credentials == known);
    let offered = party.offer.as_mut().and_then(|offer| offer.media.get_mut(index)?.as_mut()?.ice.as_mut());
    if let Some(theirs) = offered.filter(|theirs| is_same(&theirs.credentials)) {
        extend(&mut theirs.candidates, candidates);
    }
    let transport = party.stream(index).map(|stream| stream.transport);
    let carriers = party.streams.iter_mut().flatten().filter(|stream| Some(stream.transport) == transport);
    for agreement in carriers.filter_map(|stream| stream.ice.as_mut()) {
        if agreement.remote.as_ref().is_some_and(is_same) {
            extend(&mut agreement.candidates, candidates);
        }
    }
}

fn extend(known: &mut Vec<Candidate>, more: &[Candidate]) {
    for candidate in more {
        if known.len() < raceway_sdp::limits::CANDIDATES_MAX && !known.contains(candidate) {
            known.push(*candidate);
        }
    }
}
