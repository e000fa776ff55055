//! Copies of what parties send, for who subscribes: recorders, listeners, machines.

use raceway_sdp::{Direction, Sdp, encoding};

use crate::body::{self, LineMedia};
use crate::call::{Call, Heard, OfferedMedia, Part, Party, PartyId, Stream};
use crate::command::{Reply, SubscribeAnswer, SubscribeRequest};
use crate::limits;
use crate::offer::{line, propose};
use crate::options::{Family, Ice, Options};
use crate::refusal::Refusal;
use crate::rewrite::{self, Out};
use crate::security;
use crate::signal::{Context, Reach, mark};

/// Offers copies to a subscriber. One that is there gets these instead of those that it had; its ports stay.
pub(crate) fn request(
    context: &mut Context<'_>,
    call: &mut Call,
    request: &SubscribeRequest,
) -> Result<Reply, Refusal> {
    let options = &request.options;
    let sources = sources(call, request)?;
    let heard = heard(call, &sources, options)?;
    let to_tag = request.to_tag.clone().unwrap_or_else(|| format!("{:016x}", context.random.u64()));
    let to = subscriber(context, call, &to_tag)?;
    let mut lines = Vec::new();
    let mut drafts = Vec::new();
    for (index, heard) in heard.iter().enumerate() {
        let (line, draft) = copy(context, call, (to, index), *heard, options.clone())?;
        lines.push(line);
        drafts.push(draft);
    }
    let party = call.party_mut(to).expect("it was made just now");
    party.streams.truncate(lines.len());
    party.label = options.label.as_deref().map(Into::into).or(party.label.take());
    mark(party, options);
    let ours =
        party.stream(0).map(|stream| stream.local.external.ip()).expect("there is a line for each that is heard");
    let text = body::draft(ours, party.sent.as_deref(), &drafts, context.random);
    let mut sdp = Sdp::parse(text.as_bytes())?;
    sdp.media_mut().iter_mut().for_each(|media| media.select(&options.codecs));
    let description = sdp.describe()?;
    let out = Out { lines: &lines, bundles: &[], sent: party.sent.as_deref(), options };
    let sent = rewrite::write(&mut sdp, &description, &out);
    party.sent = Some(Box::new(sent));
    let from_tags = sources.iter().filter_map(|id| call.party(*id)).map(|party| party.tag().to_owned()).collect();
    Ok(Reply::Subscribed { sdp: sdp.encode(), from_tags, to_tag })
}

/// Takes a subscriber's answer: copies go there from now on.
pub(crate) fn answer(context: &mut Context<'_>, call: &mut Call, answer: &SubscribeAnswer) -> Result<(), Refusal> {
    let to = find(call, &answer.to_tag)?;
    let sdp = Sdp::parse(&answer.sdp)?;
    let description = sdp.describe()?;
    let offered = call.party(to).map_or(0, |party| party.streams.len());
    if description.media.len() != offered {
        return Err(Refusal::MediaCount { offered, answered: description.media.len() });
    }
    for (index, media) in description.media.iter().enumerate() {
        let read = context.read(index + 1, media, &answer.options)?;
        let Some(read) = read else {
            call.party_mut(to).expect("it was found just now").streams[index] = None;
            continue;
        };
        let party = call.party(to).expect("it was found just now");
        let source = call.source_of(party, index).and_then(|source| source.encoding.clone());
        if source.is_some_and(|source| !has_common(&source, &read.encoding)) {
            return Err(Refusal::NoCommonFormat(index + 1));
        }
        let party = call.party_mut(to).expect("it was found just now");
        let Some(stream) = party.stream_mut(index) else { continue };
        let is_dtls = stream.dtls.is_some() && stream.offered.is_empty();
        let (_, (receive, send)) = security::accepted(index + 1, &stream.offered, media, is_dtls)?;
        let dtls = match stream.dtls.as_deref().filter(|_| is_dtls) {
            None => None,
            Some(dtls) => {
                let missing = || Refusal::NoFingerprint { line: index + 1, protocol: media.protocol.to_string() };
                Some(Box::new(dtls.answered(read.dtls.as_ref().ok_or_else(missing)?)))
            }
        };
        (stream.receive, stream.send, stream.dtls) = (receive, send, dtls);
        stream.muxed = media.rtcp_mux && stream.offered_mux;
        let ice = stream.ice.take().filter(|_| stream.offered_ice);
        stream.ice = ice.and_then(|ice| ice.answered(read.ice.as_ref()));
        stream.take(&read);
        stream.formats = read.formats;
    }
    Ok(())
}

/// Ends a subscription.
pub(crate) fn end(call: &mut Call, to_tag: &str) -> Result<(), Refusal> {
    let to = find(call, to_tag)?;
    call.remove_party(to);
    Ok(())
}

/// The subscriber with that tag.
fn find(call: &Call, tag: &str) -> Result<PartyId, Refusal> {
    let call_id = || call.call_id.to_string();
    let unknown = || Refusal::UnknownParty { what: "to-tag", value: tag.to_owned(), call_id: call_id() };
    let party = call.by_tag(tag).and_then(|id| call.party(id)).ok_or_else(unknown)?;
    match party.part {
        Part::Subscribes => Ok(party.id),
        part => Err(Refusal::OtherPart { what: "to-tag", tag: tag.to_owned(), call_id: call_id(), does: part.does() }),
    }
}

/// Those whose media is wanted, each once.
fn sources(call: &Call, request: &SubscribeRequest) -> Result<Vec<PartyId>, Refusal> {
    let speakers = || call.parties.iter().filter(|party| party.part != Part::Subscribes);
    let unknown = |what, value: String| {
        let call_id = call.call_id.to_string();
        Refusal::UnknownParty { what, value, call_id }
    };
    let mut found: Vec<PartyId> = Vec::new();
    if request.all {
        found = speakers().filter(|party| party.streams.iter().any(Option::is_some)).map(|party| party.id).collect();
    } else if !request.from_tags.is_empty() {
        for tag in &request.from_tags {
            let party = speakers().find(|party| party.has_tag(tag));
            found.push(party.ok_or_else(|| unknown("from-tag", tag.clone()))?.id);
        }
    } else if let Some(label) = &request.label {
        let party = speakers().find(|party| party.label.as_deref() == Some(label));
        found.push(party.ok_or_else(|| unknown("label", label.clone()))?.id);
    } else if let Some(ip) = request.address {
        let party = speakers().find(|party| party.is_at(ip));
        found.push(party.ok_or_else(|| unknown("address", ip.to_string()))?.id);
    } else {
        return Err(Refusal::NobodyNamed(call.call_id.to_string()));
    }
    let mut seen = Vec::new();
    found.retain(|id| {
        !seen.contains(id) && {
            seen.push(*id);
            true
        }
    });
    Ok(found)
}

/// The m-lines of those that are wanted, in order.
fn heard(call: &Call, sources: &[PartyId], options: &Options) -> Result<Vec<Heard>, Refusal> {
    let mut heard = Vec::new();
    let call_id = || call.call_id.to_string();
    for party in sources.iter().filter_map(|id| call.party(*id)) {
        let before = heard.len();
        for (index, stream) in party.streams.iter().enumerate() {
            let Some(stream) = stream.as_ref().filter(|stream| !is_unwanted(stream, options)) else { continue };
            if stream.receive == raceway_api::Security::Opaque {
                return Err(Refusal::KeysUnknown(party.tag().to_owned()));
            }
            if call.copies(party.id, index).count() + 2 > raceway_api::limits::ROUTES_MAX {
                let max = raceway_api::limits::ROUTES_MAX - 1;
                return Err(Refusal::TooMany { call_id: call_id(), what: "copies of one stream", max });
            }
            heard.push(Heard { party: party.id, index: index as u8 });
        }
        if heard.len() == before {
            return Err(Refusal::NothingToHear { tag: party.tag().to_owned(), call_id: call_id() });
        }
    }
    if heard.len() > limits::STREAMS_MAX {
        let (call_id, what, max) = (call_id(), "streams of one subscriber", limits::STREAMS_MAX);
        return Err(Refusal::TooMany { call_id, what, max });
    }
    Ok(heard)
}

fn is_unwanted(stream: &Stream, options: &Options) -> bool {
    options.remove_media.iter().any(|kind| kind.eq_ignore_ascii_case(stream.kind.name()))
}

/// The party that subscribes, which gets nothing until it has answered.
fn subscriber(context: &Context<'_>, call: &mut Call, tag: &str) -> Result<PartyId, Refusal> {
    let id = match call.by_tag(tag) {
        Some(_) => find(call, tag)?,
        None => context.add_party(call, Some(tag), None)?,
    };
    let party = call.party_mut(id).expect("it was found just now");
    party.part = Part::Subscribes;
    for stream in party.streams.iter_mut().flatten() {
        stream.hears = None;
        silence(stream);
    }
    Ok(id)
}

/// Nothing is sent there before it answers.
fn silence(stream: &mut Stream) {
    (stream.rtp, stream.rtcp) = (None, None);
    stream.direction = Direction::Inactive;
    stream.formats.clear();
}

/// The subscriber's side of an m-line.
fn copy(
    context: &mut Context<'_>,
    call: &mut Call,
    (to, index): (PartyId, usize),
    heard: Heard,
    mut options: Options,
) -> Result<(rewrite::Line, body::Line), Refusal> {
    let party = call.party(heard.party).expect("it was found just now");
    let source = party.stream(heard.index.into()).expect("it was found just now");
    let text = encoding_of(call, party, heard.index.into(), source).ok_or(Refusal::NoCommonFormat(index + 1))?;
    let read = brought(context, source, &text, &options);
    let (kind, family) = (source.kind, Family::of(source.local.internal.ip()));
    let feedback = source.protocol.is_feedback();
    let protocol = context.out_protocol(source.protocol, &options, index + 1)?;
    let interface = options.interface_to.as_deref().or(options.interface_from.as_deref());
    let family = options.address_family.unwrap_or(family);
    let reach = Reach { interface, family, must: options.address_family.is_some() };
    let has_ice = party.carrier(source).ice.is_some();
    context.ensure_stream(call, (to, index), (kind, None, protocol), None, reach)?;
    if has_ice && matches!(options.ice, None | Some(Ice::Default | Ice::Optional)) {
        options.ice = Some(Ice::Force);
    }
    propose(context, call, to, index, &read, protocol, &options)?;
    let party = call.party(to).expect("it was found just now");
    let stream = party.stream(index).expect("it was made just now");
    let line = line(party, stream, protocol, &options, (None, false));
    let stream = call.party_mut(to).and_then(|party| party.stream_mut(index)).expect("it was made just now");
    silence(stream);
    (stream.hears, stream.kind, stream.protocol) = (Some(heard), kind, protocol);
    stream.mirrors = options.rtcp_mirror;
    let media = LineMedia { feedback, encoding: text, direction: Direction::SendOnly };
    Ok((line, body::Line { kind, media: Some(media) }))
}

/// What the source of a copy brings, as if it had offered it to the subscriber: keys are not passed on.
fn brought(context: &Context<'_>, source: &Stream, text: &str, options: &Options) -> OfferedMedia {
    let (learning, policy) = context.learning(options);
    OfferedMedia {
        rtp: None,
        rtcp: None,
        protocol: source.protocol,
        mux: source.muxed,
        mid: None,
        mid_extension: None,
        sources: Box::default(),
        crypto: Vec::new(),
        direction: Direction::SendOnly,
        formats: source.formats.clone(),
        codec: source.codec.clone(),
        bandwidth: source.bandwidth,
        encoding: text.into(),
        learning,
        source: policy,
        ice: None,
        dtls: None,
    }
}

/// What a party may send, as it says it: formats that it announced and its peer wants. After a restart of control, what
/// can be told of the formats that the relay knows.
fn encoding_of(call: &Call, party: &Party, index: usize, stream: &Stream) -> Option<String> {
    let Some(own) = stream.encoding.as_deref() else { return told(stream) };
    let peer = call.peer_of(party, index).and_then(|peer| peer.encoding.as_deref());
    let Some(peer) = peer.filter(|_| stream.renumbered.is_none()) else { return Some(own.to_owned()) };
    let both = encoding::only(own, |format| formats(peer).any(|other| other == format));
    Some(if formats(&both).next().is_some() { both } else { peer.to_owned() })
}

/// The encoding of formats whose names the relay knows.
fn told(stream: &Stream) -> Option<String> {
    use raceway_api::Codec;
    let known = |codec| match codec {
        Codec::Pcmu => Some(("PCMU", "")),
        Codec::Pcma => Some(("PCMA", "")),
        Codec::G722 => Some(("G722", "")),
        Codec::G729 => Some(("G729", "")),
        Codec::Opus => Some(("opus", "/2")),
        Codec::TelephoneEvent => Some(("telephone-event", "")),
        Codec::ComfortNoise => Some(("CN", "")),
        Codec::Other => None,
    };
    let formats = || stream.formats.iter().filter_map(|format| Some((format, known(format.codec)?)));
    let mut text = formats().map(|(format, _)| format.payload_type.to_string()).collect::<Vec<_>>().join(" ");
    for (format, (name, channels)) in formats() {
        text += &format!("\na=rtpmap:{} {name}/{}{channels}", format.payload_type, format.clock_hz);
    }
    formats().next().is_some().then_some(text)
}

/// Payload types of an encoding.
pub(crate) fn formats(encoding: &str) -> impl Iterator<Item = &str> {
    encoding.lines().next().unwrap_or("").split(' ').filter(|format| !format.is_empty())
}

/// Whether the one who answered takes anything that comes. Other formats come all the same: nothing is transcoded.
fn has_common(source: &str, answer: &str) -> bool {
    formats(answer).any(|format| formats(source).any(|known| known == format))
}

impl Part {
    /// For people.
    pub(crate) const fn does(self) -> &'static str {
        match self {
            Self::Talks => "talks with another one",
            Self::Publishes => "publishes",
            Self::Subscribes => "subscribes",
        }
    }
}
