//! An answer passes (RFC 3264 section 6).

use raceway_sdp::{Media, Sdp};

use crate::call::{Call, Offered, OfferedMedia, PartyId, both};
use crate::command::Answer;
use crate::dtls::DtlsAgreement;
use crate::ice::IceAgreement;
use crate::options::{Family, Ice, Options};
use crate::refusal::Refusal;
use crate::rewrite::{self, Line, Out};
use crate::security;
use crate::signal::{Context, Reach, mark, switch};

/// Takes an answer into a call; gives what who offered gets.
pub(crate) fn answer(context: &mut Context<'_>, call: &mut Call, answer: &Answer) -> Result<Vec<u8>, Refusal> {
    let mut sdp = Sdp::parse(&answer.sdp)?;
    let description = sdp.describe()?;
    let (from, offered) = offer(call, answer)?;
    let to = answerer(call, from, &offered, answer);
    let options = &answer.options;
    if description.media.len() != offered.media.len() {
        let (offered, answered) = (offered.media.len(), description.media.len());
        return Err(Refusal::MediaCount { offered, answered });
    }
    let mut lines = Vec::new();
    for (index, media) in description.media.iter().enumerate() {
        lines.push(match &offered.media[index] {
            None => Line::Refused,
            Some(was_offered) => stream(context, call, (from, to), (index, media), (&offered, was_offered), options)?,
        });
    }
    drop_unused(call, from, to, &lines);
    associate(call, from, to, &answer.to_tag);
    call.answered = true;
    switch(call.party_mut(to).expect("it was found just now"), options);
    let receiver = call.party_mut(from).expect("it was found just now");
    mark(receiver, options);
    let out = Out { lines: &lines, sent: receiver.sent.as_deref(), options };
    let sent = rewrite::write(&mut sdp, &description, &out);
    receiver.sent = Some(Box::new(sent));
    Ok(sdp.encode())
}

/// The offer that is answered, and whose it is.
fn offer(call: &Call, answer: &Answer) -> Result<(PartyId, Offered), Refusal> {
    let unknown = || Refusal::UnknownParty {
        what: "from-tag",
        value: answer.from_tag.clone(),
        call_id: call.call_id.to_string(),
    };
    let from = call.by_tag(&answer.from_tag).ok_or_else(unknown)?;
    let offer = call.party(from).and_then(|party| party.offer.as_deref());
    let none = || Refusal::NoOffer { from_tag: answer.from_tag.clone(), call_id: call.call_id.to_string() };
    offer.map(|offer| (from, offer.clone())).ok_or_else(none)
}

/// Who answers: by tag, by branch, else who was offered to, also under a new tag (a fork without branches).
fn answerer(call: &Call, from: PartyId, offered: &Offered, answer: &Answer) -> PartyId {
    let others = || call.parties.iter().filter(|party| party.id != from);
    let branch = answer.via_branch.as_deref();
    let by_branch = branch.and_then(|branch| others().find(|party| party.branch.as_deref() == Some(branch)));
    let by_tag = others().find(|party| party.has_tag(&answer.to_tag));
    by_branch.or(by_tag).map_or(offered.to, |party| party.id)
}

/// Both sides' streams of an m-line are agreed on; gives the line that who offered gets.
fn stream(
    context: &mut Context<'_>,
    call: &mut Call,
    (from, to): (PartyId, PartyId),
    (index, media): (usize, &Media),
    (offered, was_offered): (&Offered, &OfferedMedia),
    options: &Options,
) -> Result<Line, Refusal> {
    let Some(read) = context.read(index + 1, media, options)? else { return Ok(Line::Refused) };
    // Ports that were told already stay, unless they are of another family than the address that they are to serve.
    for (id, rtp) in [(from, was_offered.rtp), (to, read.rtp)] {
        let local = call.party(id).and_then(|party| party.stream(index)).map(|stream| stream.local.internal);
        let family = rtp.or(local).map_or(Family::Ipv4, |address| Family::of(address.ip()));
        context.ensure(call, id, index, media, Reach { interface: None, family, must: rtp.is_some() })?;
    }
    let of = |id: PartyId| call.party(id).and_then(|party| party.stream(index));
    let (Some(offerer), Some(answerer)) = (of(from), of(to)) else { return Ok(Line::Refused) };
    let secrets = (offered.osrtp, &offered.sdes);
    let sides = ((was_offered, offerer), (media, answerer));
    let agreement = security::agree(index + 1, sides.0, sides.1, secrets, context.random)?;

    let answered_dtls = match answerer.dtls.as_deref().filter(|_| answerer.offered.is_empty()) {
        None => None,
        Some(dtls) => {
            let no_fingerprint = || Refusal::NoFingerprint { line: index + 1, protocol: media.protocol.to_string() };
            Some(Box::new(dtls.answered(read.dtls.as_ref().ok_or_else(no_fingerprint)?)))
        }
    };
    let muxed = media.rtcp_mux && answerer.offered_mux;
    let mux = offered.rtcp_mux;
    let accepted = !mux.reject && (mux.demux || mux.accept || muxed);
    let answerer = call.party_mut(to).and_then(|party| party.stream_mut(index)).expect("it was found just now");
    answerer.take(&read);
    answerer.muxed = muxed;
    answerer.formats = both(&was_offered.formats, &read.formats);
    (answerer.receive, answerer.send) = agreement.answerer;
    answerer.dtls = answered_dtls;
    answerer.ice = answerer.ice.take().filter(|_| answerer.offered_ice).and_then(|ice| ice.answered(read.ice.as_ref()));
    let offerer = call.party_mut(from).and_then(|party| party.stream_mut(index)).expect("it was found just now");
    offerer.take(was_offered);
    offerer.muxed = was_offered.mux && accepted;
    offerer.formats = both(&read.formats, &was_offered.formats);
    (offerer.receive, offerer.send) = agreement.offerer;
    let wanted = options.dtls.or(offered.dtls);
    offerer.dtls = was_offered
        .dtls
        .as_ref()
        .zip(context.fingerprint)
        .map(|(theirs, ours)| Box::new(DtlsAgreement::answering(offerer.dtls.as_deref(), theirs, wanted, ours)));
    let refused = offered.ice_reject || options.ice == Some(Ice::Remove);
    let theirs = was_offered.ice.as_ref().filter(|_| !refused);
    let lite = options.ice_lite.or(offered.ice_lite);
    offerer.ice = theirs.map(|theirs| IceAgreement::answering(offerer.ice.take(), theirs, lite, context.random));
    Ok(Line::Relayed {
        local: offerer.local,
        protocol: was_offered.protocol,
        mux: offerer.muxed,
        mux_only: offerer.muxed,
        crypto: agreement.line.into_iter().collect(),
        ice: offerer.ice.clone(),
        dtls: offerer.dtls.as_deref().map(|dtls| (dtls.ours.clone(), dtls.setup())),
    })
}

/// Streams of m-lines that were refused end.
fn drop_unused(call: &mut Call, from: PartyId, to: PartyId, lines: &[Line]) {
    for id in [from, to] {
        let Some(party) = call.party_mut(id) else { continue };
        for (index, stream) in party.streams.iter_mut().enumerate() {
            if lines.get(index).is_none_or(|line| matches!(line, Line::Refused)) {
                *stream = None;
            }
        }
    }
}

/// The two talk with each other from now on, and other branches are heard by nobody.
fn associate(call: &mut Call, from: PartyId, to: PartyId, tag: &str) {
    for party in &mut call.parties {
        if party.id == from {
            party.peer = Some(to);
        } else if party.id == to {
            party.put_tag(tag);
            party.peer = Some(from);
        } else if party.peer == Some(from) || party.peer == Some(to) {
            party.peer = None;
        }
    }
}
