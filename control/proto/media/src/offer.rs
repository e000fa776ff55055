//! An offer passes (RFC 3264 section 5).

use raceway_sdp::{Description, Sdp};

use crate::call::{Call, Offered, OfferedMedia, PartyId};
use crate::command::Offer;
use crate::dtls::DtlsAgreement;
use crate::ice::IceAgreement;
use crate::options::{Family, Options};
use crate::refusal::Refusal;
use crate::rewrite::{self, Line, Out};
use crate::security;
use crate::signal::{Context, Reach, mark, switch};

/// Takes an offer into a call; gives what the other side gets.
pub(crate) fn offer(context: &mut Context<'_>, call: &mut Call, offer: &Offer) -> Result<Vec<u8>, Refusal> {
    let mut sdp = Sdp::parse(&offer.sdp)?;
    let description = sdp.describe()?;
    if description.media.is_empty() {
        return Err(Refusal::NoMedia);
    }
    let from = offerer(context, call, offer)?;
    let to = offered_to(context, call, from, offer)?;
    let options = &offer.options;
    let mut media = Vec::new();
    let mut lines = Vec::new();
    for (index, described) in description.media.iter().enumerate() {
        let read = context.read(index + 1, described, options)?;
        lines.push(match &read {
            None => Line::Refused,
            Some(read) => stream(context, call, (from, to), (index, &description), read, options)?,
        });
        media.push(read);
    }
    let sender = call.party_mut(from).expect("it was found just now");
    switch(sender, options);
    let (osrtp, rtcp_mux, sdes) = (options.osrtp, options.rtcp_mux, options.sdes.clone());
    let (ice_reject, ice_lite, dtls) = (options.ice_reject, options.ice_lite, options.dtls);
    sender.offer = Some(Box::new(Offered { to, media, osrtp, rtcp_mux, sdes, ice_reject, ice_lite, dtls }));
    let receiver = call.party_mut(to).expect("it was found just now");
    mark(receiver, options);
    if receiver.peer.is_none() {
        receiver.peer = Some(from);
    }
    let out = Out { lines: &lines, sent: receiver.sent.as_deref(), options };
    let sent = rewrite::write(&mut sdp, &description, &out);
    receiver.sent = Some(Box::new(sent));
    Ok(sdp.encode())
}

fn offerer(context: &Context<'_>, call: &mut Call, offer: &Offer) -> Result<PartyId, Refusal> {
    match call.by_tag(&offer.from_tag) {
        Some(id) => Ok(id),
        None => context.add_party(call, Some(&offer.from_tag), None),
    }
}

/// Who is offered to: by tag, by branch, or who was offered to before.
fn offered_to(context: &Context<'_>, call: &mut Call, from: PartyId, offer: &Offer) -> Result<PartyId, Refusal> {
    let others = || call.parties.iter().filter(|party| party.id != from);
    let branch = offer.via_branch.as_deref();
    let tag = offer.to_tag.as_deref().filter(|tag| !tag.is_empty());
    let by_tag = tag.and_then(|tag| others().find(|party| party.has_tag(tag)));
    let by_branch = branch.and_then(|branch| others().find(|party| party.branch.as_deref() == Some(branch)));
    if let Some(party) = by_tag.or(by_branch) {
        return Ok(party.id);
    }
    let before = call.party(from).and_then(|party| party.offer.as_ref().map(|offer| offer.to).or(party.peer));
    let before = before.and_then(|id| call.party(id));
    // A tag that is new belongs to who had none, and a branch that is new to nobody.
    let reusable = before.filter(|party| match (tag, branch) {
        (Some(_), _) => party.tags.is_empty(),
        (None, Some(_)) => party.branch.is_none() && party.tags.is_empty(),
        (None, None) => party.branch.is_none() || party.peer == Some(from),
    });
    match reusable.map(|party| party.id) {
        None => context.add_party(call, tag, branch),
        Some(id) => {
            let party = call.party_mut(id).expect("it was found just now");
            if let Some(tag) = tag {
                party.put_tag(tag);
            }
            if party.branch.is_none() {
                party.branch = branch.map(Into::into);
            }
            Ok(id)
        }
    }
}

/// Both sides' streams of an m-line, and the line that the other side gets.
fn stream(
    context: &mut Context<'_>,
    call: &mut Call,
    (from, to): (PartyId, PartyId),
    (index, description): (usize, &Description),
    read: &OfferedMedia,
    options: &Options,
) -> Result<Line, Refusal> {
    let media = &description.media[index];
    let protocol = context.out_protocol(read.protocol, options, index + 1)?;
    let known = read.rtp.map(|rtp| Family::of(rtp.ip()));
    let said = media.connection.ip().map_or(Family::Ipv4, Family::of);
    let near =
        Reach { interface: options.interface_from.as_deref(), family: known.unwrap_or(said), must: known.is_some() };
    let settled = call.party(to).and_then(|party| party.stream(index)).and_then(|stream| stream.rtp);
    let wanted = options.address_family.or(settled.map(|rtp| Family::of(rtp.ip())));
    let far = Reach {
        interface: options.interface_to.as_deref(),
        family: wanted.unwrap_or(near.family),
        must: options.address_family.is_some(),
    };
    context.ensure(call, from, index, media, near)?;
    context.ensure(call, to, index, media, far)?;
    let offerer = call.party_mut(from).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    if offerer.rtp.is_none() && offerer.formats.is_empty() {
        // Early media needs to know where to go. Later offers count when they are answered.
        offerer.take(read);
        offerer.formats.clone_from(&read.formats);
        if read.protocol.is_secure() {
            (offerer.receive, offerer.send) = (raceway_api::Security::Await, raceway_api::Security::Await);
        }
    }
    let mux = options.rtcp_mux;
    let answerer = call.party_mut(to).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    let secrets = (options.osrtp, &options.sdes);
    answerer.offered = security::offer(protocol, read, &answerer.offered, secrets, context.random);
    answerer.offered_mux = (read.mux && !mux.demux && !mux.reject) || mux.offer || mux.require;
    answerer.offered_ice = crate::ice::is_offered(options, read.ice.is_some());
    if answerer.offered_ice && answerer.ice.is_none() {
        answerer.ice = Some(Box::new(IceAgreement::offered(options, context.random)));
    }
    match context.fingerprint.filter(|_| protocol.is_dtls()) {
        None if answerer.formats.is_empty() => answerer.dtls = None,
        None => {}
        Some(ours) => {
            let before = answerer.dtls.take().filter(|before| before.role.is_some());
            answerer.dtls = Some(before.unwrap_or_else(|| Box::new(DtlsAgreement::offered(ours))));
        }
    }
    if answerer.formats.is_empty() {
        answerer.formats.clone_from(&read.formats);
        answerer.protocol = protocol;
        answerer.direction = read.direction;
        answerer.learning = read.learning;
        if protocol.is_secure() {
            (answerer.receive, answerer.send) = (raceway_api::Security::Await, raceway_api::Security::Await);
        }
    }
    if protocol.is_secure() && !protocol.is_dtls() && answerer.offered.is_empty() {
        let suites = String::new();
        let protocol = protocol.to_string();
        return Err(Refusal::NoSuite { line: index + 1, protocol, lines: media.crypto_lines, suites });
    }
    Ok(Line::Relayed {
        local: answerer.local,
        protocol,
        mux: answerer.offered_mux,
        mux_only: mux.require,
        crypto: answerer.offered.clone(),
        ice: answerer.ice.clone().filter(|_| answerer.offered_ice),
        dtls: answerer.dtls.as_deref().filter(|_| protocol.is_dtls()).map(|dtls| (dtls.ours.clone(), "actpass")),
    })
}
