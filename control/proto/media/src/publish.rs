//! Publishing: one who sends, outside of offers and answers between two, and is heard by subscribers.

use raceway_sdp::{Description, Direction, Media, Sdp, encoding};

use crate::body::{self, LineMedia};
use crate::bundle;
use crate::call::{Call, OfferedMedia, Part, PartyId};
use crate::command::Offer;
use crate::dtls::DtlsAgreement;
use crate::ice::IceAgreement;
use crate::options::{Family, Ice, Options};
use crate::refusal::Refusal;
use crate::rewrite::{self, Line, Out};
use crate::security;
use crate::signal::{Context, Reach, switch};

/// Takes an offer, and answers it: one format of each m-line is received.
pub(crate) fn publish(context: &mut Context<'_>, call: &mut Call, offer: &Offer) -> Result<Vec<u8>, Refusal> {
    let mut offered = Sdp::parse(&offer.sdp)?;
    offered.media_mut().iter_mut().for_each(|media| media.select(&offer.options.codecs));
    let mut description = offered.describe()?;
    if description.media.is_empty() {
        return Err(Refusal::NoMedia);
    }
    let groups = bundle::groups(&description);
    bundle::spread(&mut description.media, &groups, false);
    let from = publisher(context, call, &offer.from_tag)?;
    let options = &offer.options;
    let mut lines = Vec::new();
    let mut drafts = Vec::new();
    for (index, media) in description.media.iter().enumerate() {
        let read = context.read(index + 1, media, options)?;
        let draft = read.as_ref().map(|read| LineMedia {
            feedback: read.protocol.is_feedback(),
            encoding: chosen(media, read),
            direction: if read.direction.sends() { Direction::RecvOnly } else { Direction::Inactive },
        });
        drafts.push(body::Line { kind: media.kind, media: draft });
        lines.push(match &read {
            None => Line::Refused,
            Some(read) => stream(context, call, from, (index, &description), read, options)?,
        });
    }
    call.answered = true;
    let party = call.party_mut(from).expect("it was found just now");
    for (index, line) in lines.iter().enumerate() {
        if matches!(line, Line::Refused) && index < party.streams.len() {
            party.streams[index] = None;
        }
    }
    party.streams.truncate(lines.len());
    switch(party, options);
    let ours = party.streams.iter().flatten().next().map(|stream| stream.local.external.ip());
    let ours =
        ours.ok_or_else(|| Refusal::NothingToHear { tag: offer.from_tag.clone(), call_id: offer.call_id.clone() })?;
    let text = body::draft(ours, party.sent.as_deref(), &drafts, context.random);
    let mut answer = Sdp::parse(text.as_bytes())?;
    let description = answer.describe()?;
    let out = Out { lines: &lines, bundles: &[], sent: party.sent.as_deref(), options };
    let sent = rewrite::write(&mut answer, &description, &out);
    party.sent = Some(Box::new(sent));
    Ok(answer.encode())
}

fn publisher(context: &Context<'_>, call: &mut Call, tag: &str) -> Result<PartyId, Refusal> {
    let id = match call.by_tag(tag) {
        None => context.add_party(call, Some(tag), None)?,
        Some(id) => id,
    };
    let party = call.party_mut(id).expect("it was found just now");
    if party.streams.iter().any(Option::is_some) && party.part != Part::Publishes {
        let (tag, does, call_id) = (tag.to_owned(), party.part.does(), call.call_id.to_string());
        return Err(Refusal::OtherPart { what: "from-tag", tag, call_id, does });
    }
    party.part = Part::Publishes;
    Ok(id)
}

/// The first format that is media, alone.
fn chosen(media: &Media, read: &OfferedMedia) -> String {
    let first = media.codecs.preferred().or(media.codecs.0.first());
    let number = first.map(|codec| codec.payload_type.to_string());
    encoding::only(&read.encoding, |format| number.as_deref().is_none_or(|number| number == format))
}

/// The publisher's side of an m-line is agreed on; gives the line of the answer.
fn stream(
    context: &mut Context<'_>,
    call: &mut Call,
    from: PartyId,
    (index, description): (usize, &Description),
    read: &OfferedMedia,
    options: &Options,
) -> Result<Line, Refusal> {
    let media = &description.media[index];
    let known = read.rtp.map(|rtp| Family::of(rtp.ip()));
    let said = media.connection.ip().map_or(Family::Ipv4, Family::of);
    let interface = options.interface_from.as_deref();
    let reach = Reach { interface, family: known.unwrap_or(said), must: known.is_some() };
    context.ensure(call, from, index, (media, None), reach)?;
    let publisher = call.party(from).and_then(|party| party.stream(index)).expect("it was made just now");
    let (line, security) = security::answered(index + 1, read, publisher, &options.sdes, context.random)?;
    let theirs = read.ice.as_ref().filter(|_| !options.ice_reject && options.ice != Some(Ice::Remove));
    let publisher = call.party_mut(from).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    publisher.take(read);
    publisher.encoding = Some(chosen(media, read).into());
    publisher.formats.clone_from(&read.formats);
    publisher.muxed = read.mux && !options.rtcp_mux.reject;
    (publisher.receive, publisher.send) = security;
    publisher.dtls = read.dtls.as_ref().zip(context.fingerprint).map(|(theirs, ours)| {
        Box::new(DtlsAgreement::answering(publisher.dtls.as_deref(), theirs, options.dtls, ours))
    });
    let before = publisher.ice.take();
    publisher.ice = theirs.map(|theirs| IceAgreement::answering(before, theirs, options.ice_lite, context.random));
    Ok(Line::Relayed {
        local: publisher.local,
        protocol: read.protocol,
        mux: publisher.muxed,
        mux_only: publisher.muxed,
        crypto: line.into_iter().collect(),
        ice: publisher.ice.clone(),
        dtls: publisher.dtls.as_deref().map(|dtls| (dtls.ours.clone(), dtls.setup())),
        mid: None,
        mid_extension: None,
        bundle_only: false,
    })
}
