//! An offer passes (RFC 3264 section 5).

use raceway_sdp::{Description, Protocol, Sdp};

use crate::bundle;
use crate::call::{Call, Offered, OfferedMedia, Part, Party, PartyId, Stream};
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
    // As if they had never been there.
    sdp.media_mut().iter_mut().for_each(|media| media.select(&offer.options.codecs));
    let mut description = sdp.describe()?;
    if description.media.is_empty() {
        return Err(Refusal::NoMedia);
    }
    let from = offerer(context, call, offer)?;
    let to = offered_to(context, call, from, offer)?;
    let options = &offer.options;
    let refuses = options.bundle.reject || options.rtcp_mux.reject;
    let groups = if refuses { Vec::new() } else { bundle::groups(&description) };
    bundle::spread(&mut description.media, &groups, false);
    let described = description.media.iter().enumerate();
    let media = described.map(|(index, described)| context.read(index + 1, described, options));
    let media = media.collect::<Result<Vec<_>, _>>()?;
    let protocol = |(index, read): (usize, &Option<OfferedMedia>)| {
        read.as_ref().map(|read| context.out_protocol(read.protocol, options, index + 1)).transpose()
    };
    let protocols = media.iter().enumerate().map(protocol).collect::<Result<Vec<_>, _>>()?;
    let groups: Vec<_> = groups.into_iter().map(|group| group.members).collect();
    let groups = bundle::accepted(&groups, |index| media[index].is_some());
    let far_groups = far_groups(&groups, &media, &protocols, options);
    for (index, (read, protocol)) in media.iter().zip(&protocols).enumerate() {
        let (Some(read), Some(protocol)) = (read, *protocol) else { continue };
        place(context, call, (from, to), (index, &description), (&groups, &far_groups), read, options)?;
        propose(context, call, to, index, read, protocol, options)?;
    }
    let mids = mids(&media, &far_groups);
    let receiver = call.party(to).expect("it was found just now");
    let lines: Vec<Line> = (0..media.len())
        .map(|index| match (receiver.stream(index), protocols[index]) {
            (Some(stream), Some(protocol)) => {
                let is_bundle_only = options.bundle.require && bundle::carrier(&far_groups, index).is_some();
                line(receiver, stream, protocol, options, (mids[index].clone(), is_bundle_only))
            }
            _ => Line::Refused,
        })
        .collect();
    let sender = call.party_mut(from).expect("it was found just now");
    switch(sender, options);
    let (osrtp, rtcp_mux, sdes) = (options.osrtp, options.rtcp_mux, options.sdes.clone());
    let (ice_reject, ice_lite, dtls) = (options.ice_reject, options.ice_lite, options.dtls);
    let bundles = far_groups.clone();
    sender.offer =
        Some(Box::new(Offered { to, media, groups, far_groups, osrtp, rtcp_mux, sdes, ice_reject, ice_lite, dtls }));
    let receiver = call.party_mut(to).expect("it was found just now");
    mark(receiver, options);
    if receiver.peer.is_none() {
        receiver.peer = Some(from);
    }
    let out = Out { lines: &lines, bundles: &bundles, sent: receiver.sent.as_deref(), options };
    let sent = rewrite::write(&mut sdp, &description, &out);
    receiver.sent = Some(Box::new(sent));
    Ok(sdp.encode())
}

/// Whether the other side does ICE and DTLS, as browsers do, which want RTCP on RTP's port (RFC 8834 section 4.5).
const fn is_web(read: &OfferedMedia, protocol: Protocol, options: &Options) -> bool {
    protocol.is_dtls() && crate::ice::is_offered(options, read.ice.is_some())
}

/// Whether the other side is offered RTCP on RTP's port.
const fn offers_mux(read: &OfferedMedia, protocol: Protocol, options: &Options) -> bool {
    let mux = &options.rtcp_mux;
    (read.mux && !mux.demux && !mux.reject) || mux.offer || mux.require || is_web(read, protocol, options)
}

/// The groups that the other side is offered: those that were offered, towards who may want them; else all that can share
/// a transport, towards who does ICE and DTLS, or as the command says.
fn far_groups(
    groups: &[Vec<usize>],
    media: &[Option<OfferedMedia>],
    protocols: &[Option<Protocol>],
    options: &Options,
) -> Vec<Vec<usize>> {
    let wants = &options.bundle;
    let both = |index: usize| media[index].as_ref().zip(protocols[index]);
    let can_share = |index: usize| {
        both(index).is_some_and(|(read, protocol)| {
            let has_keys = !read.crypto.is_empty() || options.osrtp.offer || options.osrtp.offer_legacy;
            let is_keyless = protocol.is_dtls() || !protocol.is_secure() && !has_keys;
            is_keyless && offers_mux(read, protocol, options)
        })
    };
    let is_web = |index: usize| both(index).is_some_and(|(read, protocol)| is_web(read, protocol, options));
    let is_same = |index: usize| both(index).is_some_and(|(read, protocol)| read.protocol == protocol);
    if !groups.is_empty() {
        let asked = wants.accept || wants.offer || wants.require;
        return bundle::accepted(groups, |index| can_share(index) && (asked || is_same(index) || is_web(index)));
    }
    let wanted = wants.offer || wants.require;
    let lines: Vec<usize> = (0..media.len()).filter(|index| can_share(*index) && (wanted || is_web(*index))).collect();
    let first = lines.first().and_then(|first| protocols[*first]);
    let same: Vec<usize> = lines.into_iter().filter(|index| protocols[*index] == first).collect();
    let is_sound = same.len() > 1 && bundle::are_distinct(same.iter().filter_map(|index| media[*index].as_ref()));
    if is_sound { vec![same] } else { Vec::new() }
}

/// Identifications of m-lines in groups: their own, or one that is free.
fn mids(media: &[Option<OfferedMedia>], groups: &[Vec<usize>]) -> Vec<Option<Box<str>>> {
    let mut mids: Vec<Option<Box<str>>> = media.iter().map(|read| read.as_ref()?.mid.clone()).collect();
    for &index in groups.iter().flatten() {
        if mids[index].is_none() {
            let mut free = (0..).map(|number: usize| number.to_string().into_boxed_str());
            mids[index] = free.find(|mid| !mids.iter().flatten().any(|taken| taken == mid));
        }
    }
    mids
}

fn offerer(context: &Context<'_>, call: &mut Call, offer: &Offer) -> Result<PartyId, Refusal> {
    let known = call.by_tag(&offer.from_tag).and_then(|id| call.party(id));
    match known {
        Some(party) if party.part != Part::Talks => Err(Refusal::OtherPart {
            what: "from-tag",
            tag: offer.from_tag.clone(),
            call_id: offer.call_id.clone(),
            does: party.part.does(),
        }),
        Some(party) => Ok(party.id),
        None => context.add_party(call, Some(&offer.from_tag), None),
    }
}

/// Who is offered to: by tag, by branch, or who was offered to before.
fn offered_to(context: &Context<'_>, call: &mut Call, from: PartyId, offer: &Offer) -> Result<PartyId, Refusal> {
    let others = || call.parties.iter().filter(|party| party.id != from && party.part == Part::Talks);
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

/// Both sides' streams of an m-line. Those that are there stay as they are until the offer is answered.
fn place(
    context: &mut Context<'_>,
    call: &mut Call,
    (from, to): (PartyId, PartyId),
    (index, description): (usize, &Description),
    (groups, far_groups): (&[Vec<usize>], &[Vec<usize>]),
    read: &OfferedMedia,
    options: &Options,
) -> Result<(), Refusal> {
    let media = &description.media[index];
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
    let carrier = |call: &Call, id: PartyId, groups: &[Vec<usize>]| match call.party(id) {
        Some(party) if party.stream(index).is_some() => party.carried_by(index),
        _ => bundle::carrier(groups, index),
    };
    let near_carrier = carrier(call, from, groups);
    context.ensure(call, from, index, (media, near_carrier), near)?;
    // Who has bundled knows how to.
    let knows = call.party(to).is_some_and(|party| party.streams.iter().flatten().any(|stream| stream.carried));
    let far_groups = if knows || options.bundle.require { far_groups } else { &[] };
    let far_carrier = carrier(call, to, far_groups);
    context.ensure(call, to, index, (media, far_carrier), far)?;
    let offerer = call.party_mut(from).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    if offerer.rtp.is_none() && offerer.formats.is_empty() {
        // Early media needs to know where to go. Later offers count when they are answered.
        offerer.take(read);
        offerer.formats.clone_from(&read.formats);
        offerer.bandwidth = read.bandwidth;
        if read.protocol.is_secure() {
            (offerer.receive, offerer.send) = (raceway_api::Security::Await, raceway_api::Security::Await);
        }
    }
    Ok(())
}

/// What a party is offered for an m-line whose stream is there; `read` is what the other side brings.
pub(crate) fn propose(
    context: &mut Context<'_>,
    call: &mut Call,
    to: PartyId,
    index: usize,
    read: &OfferedMedia,
    protocol: Protocol,
    options: &Options,
) -> Result<(), Refusal> {
    let answerer = call.party_mut(to).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    let secrets = (options.osrtp, &options.sdes);
    answerer.offered = security::offer(protocol, read, &answerer.offered, secrets, context.random);
    answerer.offered_mux = offers_mux(read, protocol, options);
    answerer.offered_ice = crate::ice::is_offered(options, read.ice.is_some());
    if answerer.offered_ice && answerer.ice.is_none() && !answerer.carried {
        answerer.ice = Some(Box::new(IceAgreement::offered(options, context.random)));
    }
    match context.fingerprint.filter(|_| protocol.is_dtls() && !answerer.carried) {
        None if answerer.formats.is_empty() => answerer.dtls = None,
        None => {}
        Some(ours) => {
            let before = answerer.dtls.take().filter(|before| before.role.is_some());
            answerer.dtls = Some(before.unwrap_or_else(|| Box::new(DtlsAgreement::offered(ours))));
        }
    }
    if answerer.formats.is_empty() {
        answerer.formats.clone_from(&read.formats);
        answerer.bandwidth = read.bandwidth;
        answerer.protocol = protocol;
        answerer.direction = read.direction;
        answerer.learning = read.learning;
        if protocol.is_secure() {
            (answerer.receive, answerer.send) = (raceway_api::Security::Await, raceway_api::Security::Await);
        }
    }
    if protocol.is_secure() && !protocol.is_dtls() && answerer.offered.is_empty() {
        let (suites, lines) = (String::new(), read.crypto.len());
        return Err(Refusal::NoSuite { line: index + 1, protocol: protocol.to_string(), lines, suites });
    }
    Ok(())
}

/// The m-line that a party gets. One of a bundle says the ICE and DTLS of the one that carries it.
pub(crate) fn line(
    party: &Party,
    stream: &Stream,
    protocol: Protocol,
    options: &Options,
    (mid, bundle_only): (Option<Box<str>>, bool),
) -> Line {
    let carrier = party.carrier(stream);
    Line::Relayed {
        local: stream.local,
        protocol,
        mux: stream.offered_mux,
        mux_only: options.rtcp_mux.require || stream.offered_ice && protocol.is_dtls(),
        crypto: stream.offered.clone(),
        ice: carrier.ice.clone().filter(|_| stream.offered_ice),
        dtls: carrier.dtls.as_deref().filter(|_| protocol.is_dtls()).map(|dtls| (dtls.ours.clone(), "actpass")),
        mid,
        mid_extension: None,
        bundle_only,
    }
}
