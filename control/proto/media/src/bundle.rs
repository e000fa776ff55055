//! BUNDLE (RFC 9143): which m-lines share one transport, in bodies and among a party's streams.

use std::collections::BTreeSet;

use raceway_sdp::{Description, Media};

use crate::call::{OfferedMedia, Party};

/// m-lines that share a transport, by index, in the order of their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Whose address, ICE and DTLS it is; perhaps nothing that is relayed.
    pub tag: usize,
    /// Those that are RTP and can share it.
    pub members: Vec<usize>,
}

/// The groups of a body. What cannot share, for its protocol or because its RTCP has a port of its own, is in none.
pub(crate) fn groups(description: &Description) -> Vec<Group> {
    let mut taken = BTreeSet::new();
    let mut groups = Vec::new();
    for bundle in &description.bundles {
        let position = |mid: &String| description.media.iter().position(|media| media.mid.as_ref() == Some(mid));
        let lines: Vec<usize> = bundle.iter().filter_map(position).filter(|index| taken.insert(*index)).collect();
        let Some(tag) = lines.iter().copied().find(|index| description.media[*index].port != 0) else { continue };
        let rtp = lines.iter().copied().filter(|index| description.media[*index].protocol.is_rtp());
        let Some(first) = rtp.clone().next().map(|index| &description.media[index]) else { continue };
        let shares = |index: &usize| {
            let media = &description.media[*index];
            let is_muxed = media.rtcp_mux || description.media[tag].rtcp_mux;
            // Keys in SDP are an m-line's own (RFC 4568); who bundles has DTLS.
            is_muxed && !media.is_refused() && media.protocol == first.protocol && media.crypto_lines == 0
        };
        let members: Vec<usize> = rtp.filter(shares).collect();
        if !members.is_empty() {
            groups.push(Group { tag, members });
        }
    }
    groups
}

/// m-lines as they are meant: those of a bundle take from the tagged one what they do not say, since there it stands for
/// all (RFC 9143 section 7.1.3); where the bundle is agreed on (`whole`), all that is of the transport.
pub(crate) fn spread(media: &mut [Media], groups: &[Group], whole: bool) {
    for group in groups {
        let tag = media[group.tag].clone();
        for &index in group.members.iter().filter(|index| **index != group.tag) {
            let media = &mut media[index];
            if whole || media.port == 0 {
                (media.port, media.rtp, media.rtcp) = (tag.port, tag.rtp, tag.rtcp);
                media.connection = tag.connection.clone();
                media.ice = tag.ice.clone();
            }
            if media.ice.credentials.is_none() {
                media.ice = tag.ice.clone();
            }
            if whole || media.fingerprints.is_empty() {
                media.fingerprints.clone_from(&tag.fingerprints);
                media.setup.clone_from(&tag.setup);
            }
            media.rtcp_mux |= tag.rtcp_mux;
        }
    }
}

/// Of groups, what is left of lines that another party accepted; the first of each carries it.
pub(crate) fn accepted(groups: &[Vec<usize>], is_accepted: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let left = groups.iter().map(|group| group.iter().copied().filter(|index| is_accepted(*index)).collect());
    left.filter(|group: &Vec<usize>| !group.is_empty()).collect()
}

/// The m-line that carries another one's transport; None of one that stands for itself.
pub(crate) fn carrier(groups: &[Vec<usize>], index: usize) -> Option<usize> {
    let group = groups.iter().find(|group| group.contains(&index))?;
    group.first().copied().filter(|first| *first != index)
}

/// Whether payload types or MIDs tell the packets of m-lines apart (RFC 9143 section 9.2).
pub(crate) fn are_distinct<'m>(lines: impl Iterator<Item = &'m OfferedMedia> + Clone) -> bool {
    let mut seen = BTreeSet::new();
    let mut types = lines.clone().flat_map(|media| media.formats.iter().map(|format| format.payload_type));
    lines.clone().all(|media| media.mid_extension.is_some()) || types.all(|payload_type| seen.insert(payload_type))
}

impl Party {
    /// Makes the first of each group the one that carries its transport. An m-line that carried it before and is no longer
    /// the first has none of its own any more.
    pub fn carry(&mut self, groups: &[Vec<usize>]) {
        for group in groups {
            let Some(stream) = group.first().and_then(|first| self.stream(*first)) else { continue };
            if !stream.carried {
                continue;
            }
            let (transport, leg) = (stream.transport, stream.leg);
            let before = self.streams.iter_mut().flatten().find(|other| other.transport == transport && !other.carried);
            let taken = before.map(|before| {
                before.carried = true;
                (before.ice.take(), before.dtls.take(), before.offered_ice)
            });
            let Some(stream) = self.streams.iter_mut().flatten().find(|stream| stream.leg == leg) else { continue };
            stream.carried = false;
            if let Some(taken) = taken {
                (stream.ice, stream.dtls, stream.offered_ice) = taken;
            }
        }
    }

    /// An m-line goes to another transport: of those that its own one carried, the next stands for it.
    pub fn hand_over(&mut self, index: usize) {
        let Some(stream) = self.stream_mut(index).filter(|stream| !stream.carried) else { return };
        let (transport, leg) = (stream.transport, stream.leg);
        let carried = (stream.ice.take(), stream.dtls.take(), stream.offered_ice);
        let mut others = self.streams.iter_mut().flatten();
        if let Some(next) = others.find(|other| other.transport == transport && other.leg != leg) {
            next.carried = false;
            (next.ice, next.dtls, next.offered_ice) = carried;
        }
    }

    /// Gives an m-line the transport of another one, if both are there.
    pub fn share(&mut self, index: usize, carrier: usize) {
        if self.stream(index).is_some_and(|stream| Some(stream.transport) != self.stream(carrier).map(|c| c.transport))
        {
            self.hand_over(index);
        }
        let carrier = self.stream(carrier).map(|carrier| (carrier.transport, carrier.interface.clone(), carrier.local));
        let Some((stream, carrier)) = self.stream_mut(index).zip(carrier) else { return };
        (stream.transport, stream.interface, stream.local) = carrier;
        stream.carried = true;
        (stream.ice, stream.dtls) = (None, None);
    }
}
