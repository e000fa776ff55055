//! An answer passes (RFC 3264 section 6).

use raceway_sdp::{Crypto, Media, Protocol, Sdp};

use crate::bundle;
use crate::call::{Call, Offered, OfferedMedia, Part, Party, PartyId, Stream, both};
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
    // As if they had never been there.
    sdp.media_mut().iter_mut().for_each(|media| media.select(&answer.options.codecs));
    let mut description = sdp.describe()?;
    let (from, offered) = offer(call, answer)?;
    let to = answerer(call, from, &offered, answer);
    let options = &answer.options;
    if description.media.len() != offered.media.len() {
        let (offered, answered) = (offered.media.len(), description.media.len());
        return Err(Refusal::MediaCount { offered, answered });
    }
    let mut answered = bundle::groups(&description);
    answered
        .retain(|answered| offered.far_groups.iter().any(|group| answered.members.iter().all(|at| group.contains(at))));
    bundle::spread(&mut description.media, &answered, true);
    let mut read = Vec::new();
    for (index, media) in description.media.iter().enumerate() {
        let is_offered = offered.media[index].is_some();
        read.push(if is_offered { context.read(index + 1, media, options)? } else { None });
    }
    let far_groups = bundle::accepted(&offered.far_groups, |index| {
        read[index].is_some() && answered.iter().any(|group| group.members.contains(&index))
    });
    let groups = bundle::accepted(&offered.groups, |index| read[index].is_some());
    for (id, groups) in [(from, &groups), (to, &far_groups)] {
        call.party_mut(id).into_iter().for_each(|party| party.carry(groups));
    }
    // Those that carry others' transports come first.
    let carried = |index: &usize| [&groups, &far_groups].iter().any(|groups| bundle::carrier(groups, *index).is_some());
    let mut order: Vec<usize> = (0..read.len()).collect();
    order.sort_by_key(carried);
    let mut crypto = vec![None; read.len()];
    for index in order {
        let Some((read, was_offered)) = read[index].as_ref().zip(offered.media[index].as_ref()) else { continue };
        let carrier = bundle::carrier(&groups, index);
        let near = carrier.and_then(|carrier| offered.media[carrier].as_ref()).unwrap_or(was_offered);
        let media = &description.media[index];
        place(context, call, (from, to), (index, media), (carrier, bundle::carrier(&far_groups, index)), (near, read))?;
        let sides = (was_offered, near, read);
        let in_bundle = groups.iter().any(|group| group.contains(&index));
        crypto[index] = stream(context, call, (from, to), (index, media), (&offered, sides, in_bundle), options)?;
    }
    let receiver = call.party(from).expect("it was found just now");
    let distinct = |index: usize| {
        let group = groups.iter().find(|group| group.contains(&index));
        group.is_none_or(|group| bundle::are_distinct(group.iter().filter_map(|index| read[*index].as_ref())))
    };
    let lines: Vec<Line> = read
        .iter()
        .zip(&offered.media)
        .zip(crypto)
        .enumerate()
        .map(|(index, ((read, was_offered), crypto))| match (receiver.stream(index), read, was_offered) {
            (Some(stream), Some(read), Some(was_offered)) => {
                let mid = was_offered.mid.clone().filter(|_| groups.iter().any(|group| group.contains(&index)));
                let extension = was_offered.mid_extension.filter(|_| read.mid_extension.is_none() && !distinct(index));
                line(receiver, stream, was_offered.protocol, crypto, (mid, extension))
            }
            _ => Line::Refused,
        })
        .collect();
    drop_unused(call, from, to, &lines);
    associate(call, from, to, &answer.to_tag);
    call.answered = true;
    switch(call.party_mut(to).expect("it was found just now"), options);
    let receiver = call.party_mut(from).expect("it was found just now");
    mark(receiver, options);
    let out = Out { lines: &lines, bundles: &groups, sent: receiver.sent.as_deref(), options };
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
    let others = || call.parties.iter().filter(|party| party.id != from && party.part == Part::Talks);
    let branch = answer.via_branch.as_deref();
    let by_branch = branch.and_then(|branch| others().find(|party| party.branch.as_deref() == Some(branch)));
    let by_tag = others().find(|party| party.has_tag(&answer.to_tag));
    by_branch.or(by_tag).map_or(offered.to, |party| party.id)
}

/// Both sides' streams of an m-line. Ports that were told already stay, unless they are of another family than the address
/// that they are to serve, or the m-line joins a bundle or leaves it.
fn place(
    context: &mut Context<'_>,
    call: &mut Call,
    (from, to): (PartyId, PartyId),
    (index, media): (usize, &Media),
    (carrier, far_carrier): (Option<usize>, Option<usize>),
    (near, far): (&OfferedMedia, &OfferedMedia),
) -> Result<(), Refusal> {
    for (id, rtp, carrier) in [(from, near.rtp, carrier), (to, far.rtp, far_carrier)] {
        let local = call.party(id).and_then(|party| party.stream(index)).map(|stream| stream.local.internal);
        let family = rtp.or(local).map_or(Family::Ipv4, |address| Family::of(address.ip()));
        context.ensure(call, id, index, (media, carrier), Reach { interface: None, family, must: rtp.is_some() })?;
    }
    Ok(())
}

/// Both sides' streams of an m-line are agreed on; gives the key that who offered gets, if it gets one.
fn stream(
    context: &mut Context<'_>,
    call: &mut Call,
    (from, to): (PartyId, PartyId),
    (index, media): (usize, &Media),
    (offered, (was_offered, near, read), in_bundle): (&Offered, Sides<'_>, bool),
    options: &Options,
) -> Result<Option<Crypto>, Refusal> {
    let of = |id: PartyId| call.party(id).and_then(|party| Some((party, party.stream(index)?)));
    let (Some((_, offerer)), Some((answering, answerer))) = (of(from), of(to)) else { return Ok(None) };
    let secrets = (offered.osrtp, &offered.sdes);
    let is_dtls = answering.carrier(answerer).dtls.is_some() && answerer.offered.is_empty();
    let sides = ((was_offered, offerer), (media, answerer, is_dtls));
    let agreement = security::agree(index + 1, sides.0, sides.1, secrets, context.random)?;

    let answered_dtls = match answerer.dtls.as_deref().filter(|_| is_dtls) {
        None => None,
        Some(dtls) => {
            let no_fingerprint = || Refusal::NoFingerprint { line: index + 1, protocol: media.protocol.to_string() };
            Some(Box::new(dtls.answered(read.dtls.as_ref().ok_or_else(no_fingerprint)?)))
        }
    };
    let muxed = media.rtcp_mux && answerer.offered_mux;
    let mux = offered.rtcp_mux;
    // Who does ICE and DTLS wants it so.
    let is_web = was_offered.ice.is_some() && was_offered.dtls.is_some();
    let accepted = !mux.reject && (mux.demux || mux.accept || muxed || in_bundle || is_web);
    let answerer = call.party_mut(to).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    answerer.take(read);
    answerer.muxed = muxed;
    answerer.formats = both(&was_offered.formats, &read.formats);
    answerer.bandwidth = was_offered.bandwidth.max(read.bandwidth);
    (answerer.receive, answerer.send) = agreement.answerer;
    answerer.dtls = answered_dtls;
    answerer.ice = answerer.ice.take().filter(|_| answerer.offered_ice).and_then(|ice| ice.answered(read.ice.as_ref()));
    let offerer = call.party_mut(from).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    offerer.take(was_offered);
    (offerer.rtp, offerer.rtcp) = (near.rtp, near.rtcp);
    offerer.muxed = was_offered.mux && accepted;
    offerer.formats = both(&read.formats, &was_offered.formats);
    offerer.bandwidth = was_offered.bandwidth.max(read.bandwidth);
    (offerer.receive, offerer.send) = agreement.offerer;
    let wanted = options.dtls.or(offered.dtls);
    offerer.dtls = was_offered
        .dtls
        .as_ref()
        .filter(|_| !offerer.carried)
        .zip(context.fingerprint)
        .map(|(theirs, ours)| Box::new(DtlsAgreement::answering(offerer.dtls.as_deref(), theirs, wanted, ours)));
    let refused = offered.ice_reject || options.ice == Some(Ice::Remove) || offerer.carried;
    let theirs = was_offered.ice.as_ref().filter(|_| !refused);
    let lite = options.ice_lite.or(offered.ice_lite);
    offerer.ice = theirs.map(|theirs| IceAgreement::answering(offerer.ice.take(), theirs, lite, context.random));
    Ok(agreement.line)
}

/// What was offered of an m-line, what of the one that carries its transport, and what was answered.
type Sides<'a> = (&'a OfferedMedia, &'a OfferedMedia, &'a OfferedMedia);

/// The m-line that who offered gets. One of a bundle says the ICE and DTLS of the one that carries it.
fn line(
    party: &Party,
    stream: &Stream,
    protocol: Protocol,
    crypto: Option<Crypto>,
    (mid, mid_extension): (Option<Box<str>>, Option<u8>),
) -> Line {
    let carrier = party.carrier(stream);
    Line::Relayed {
        local: stream.local,
        protocol,
        mux: stream.muxed,
        mux_only: stream.muxed,
        crypto: crypto.into_iter().collect(),
        ice: carrier.ice.clone(),
        dtls: carrier.dtls.as_deref().map(|dtls| (dtls.ours.clone(), dtls.setup())),
        mid,
        mid_extension,
        bundle_only: false,
    }
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
        if party.id == from || party.id == to {
            party.streams.iter_mut().flatten().for_each(|stream| stream.renumbered = None);
        }
    }
}
