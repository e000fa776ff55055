//! Commands as proxies say them, in the words of the media core.

use raceway_media::options as media;
use raceway_media::{
    Answer, Change, Command, Connect, Consent, Delete, Offer, Record, Recording, SubscribeAnswer, SubscribeRequest,
    Toggle, Trickle, Unsubscribe,
};
use raceway_ng as ng;
use raceway_ng::options as said;
use raceway_sdp::{CodecName, Protocol, Selection, Suite};

/// A command that changes calls; others are none of the core's. What is lost on the way goes into `warnings`.
pub(super) fn command(command: ng::Command, warnings: &mut Vec<String>) -> Option<Command> {
    Some(match command {
        ng::Command::Offer(offer) if offer.options.fragment => {
            Command::Trickle(Trickle { call_id: offer.call_id, tag: offer.from_tag, sdp: offer.sdp })
        }
        ng::Command::Answer(answer) if answer.options.fragment => {
            Command::Trickle(Trickle { call_id: answer.call_id, tag: answer.to_tag, sdp: answer.sdp })
        }
        ng::Command::Offer(offer) => Command::Offer(self::offer(offer, warnings)),
        ng::Command::Publish(offer) => Command::Publish(self::offer(offer, warnings)),
        ng::Command::Answer(answer) => Command::Answer(Answer {
            call_id: answer.call_id,
            from_tag: answer.from_tag,
            to_tag: answer.to_tag,
            via_branch: answer.via_branch,
            sdp: answer.sdp,
            options: options(answer.options, warnings),
        }),
        ng::Command::Delete(delete) => Command::Delete(Delete {
            call_id: delete.call_id,
            from_tag: delete.from_tag,
            // Kamailio names both tags whenever it has them; which of two branches is meant, if one is, a flag says.
            to_tag: delete.to_tag.filter(|_| delete.only_to_tag),
            via_branch: delete.via_branch,
            delay: delete.delay,
            discard: delete.discard,
        }),
        ng::Command::Change(change) => Command::Change(self::change(change, warnings)),
        ng::Command::SubscribeRequest(request) => Command::SubscribeRequest(subscribe(request, warnings)),
        ng::Command::SubscribeAnswer(answer) => Command::SubscribeAnswer(SubscribeAnswer {
            call_id: answer.call_id,
            to_tag: answer.to_tag,
            sdp: answer.sdp,
            options: options(answer.options, warnings),
        }),
        ng::Command::Unsubscribe(ng::Unsubscribe { call_id, to_tag }) => {
            Command::Unsubscribe(Unsubscribe { call_id, to_tag })
        }
        ng::Command::Connect(connect) => Command::Connect(Connect {
            call_id: connect.call_id,
            from_tag: connect.from_tag,
            to_call_id: connect.to_call_id,
            to_tag: connect.to_tag,
        }),
        ng::Command::Record(record) => Command::Record(Record {
            call_id: record.call_id,
            what: match record.what {
                ng::Recording::Start => Recording::Start,
                ng::Recording::Pause => Recording::Pause,
                ng::Recording::Stop => Recording::Stop { discard: record.discard },
            },
            consent: consent(&record.metadata),
        }),
        ng::Command::Ping | ng::Command::Query(_) | ng::Command::List { .. } | ng::Command::Statistics => return None,
    })
}

fn offer(offer: ng::Offer, warnings: &mut Vec<String>) -> Offer {
    Offer {
        call_id: offer.call_id,
        from_tag: offer.from_tag,
        to_tag: offer.to_tag,
        via_branch: offer.via_branch,
        sdp: offer.sdp,
        options: options(offer.options, warnings),
    }
}

fn subscribe(request: ng::SubscribeRequest, warnings: &mut Vec<String>) -> SubscribeRequest {
    SubscribeRequest {
        call_id: request.call_id,
        from_tags: request.from_tags,
        label: request.label,
        address: request.address,
        all: request.all != ng::All::None,
        to_tag: request.to_tag,
        options: options(request.options, warnings),
    }
}

fn consent(metadata: &said::Metadata) -> Consent {
    Consent { given: metadata.consents(), metadata: metadata.0.clone() }
}

fn change(change: ng::Change, warnings: &mut Vec<String>) -> Change {
    if change.to_tag.is_some() || change.to_label.is_some() {
        warnings.push("to-tag and to-label: a party is blocked towards all, not towards one".to_owned());
    }
    if change.set_label.is_some() {
        warnings.push("set-label is honoured in an offer or answer".to_owned());
    }
    let all = match change.all {
        ng::All::None => false,
        ng::All::All | ng::All::Flows | ng::All::OfferAnswer => true,
        ng::All::ExceptOfferAnswer => {
            warnings.push("all=except-offer-answer: there are no other flows".to_owned());
            false
        }
    };
    let what = match change.what {
        ng::Toggle::BlockMedia => Toggle::BlockMedia,
        ng::Toggle::SilenceMedia => Toggle::SilenceMedia,
        ng::Toggle::BlockDtmf => Toggle::BlockDtmf,
    };
    Change {
        call_id: change.call_id,
        from_tag: change.from_tag,
        address: change.address,
        label: change.label,
        all,
        what,
        on: change.on,
    }
}

fn options(said: ng::Options, warnings: &mut Vec<String>) -> media::Options {
    media::Options {
        replace: replace(said.replace),
        address_family: said.address_family.map(|family| match family {
            said::Family::Ipv4 => media::Family::Ipv4,
            said::Family::Ipv6 => media::Family::Ipv6,
        }),
        media_address: said.media_address,
        received_from: said.received_from,
        sip_source_address: said.sip_source_address,
        interface_from: said.interface_from.or_else(|| said.interface.clone()),
        interface_to: said.interface_to.or(said.interface),
        transport: said.transport.map(|transport| match transport {
            said::Transport::As(protocol) => media::Transport::As(self::protocol(protocol)),
            said::Transport::Accept => media::Transport::Accept,
        }),
        ice: said.ice.map(ice),
        ice_reject: said.ice_reject,
        ice_lite: said.ice_lite.map(ice_lite),
        trickle: said.trickle,
        dtls: said.dtls.map(dtls),
        osrtp: media::Osrtp {
            offer: said.osrtp.offer,
            offer_legacy: said.osrtp.offer_legacy,
            accept: said.osrtp.accept,
        },
        sdes: sdes(said.sdes, warnings),
        rtcp_mux: media::RtcpMux {
            offer: said.rtcp_mux.offer,
            require: said.rtcp_mux.require,
            demux: said.rtcp_mux.demux,
            accept: said.rtcp_mux.accept,
            reject: said.rtcp_mux.reject,
        },
        bundle: media::Bundle {
            offer: said.bundle.offer,
            require: said.bundle.require,
            accept: said.bundle.accept,
            reject: said.bundle.reject,
        },
        rtcp_attribute: said.rtcp_attribute.map(|attribute| match attribute {
            said::RtcpAttribute::None => media::RtcpAttribute::None,
            said::RtcpAttribute::Full => media::RtcpAttribute::Full,
        }),
        learning: said.learning.map(learning),
        strict_source: said.strict_source,
        media_handover: said.media_handover,
        asymmetric: said.asymmetric,
        no_port_latching: said.no_port_latching,
        inactive: said.inactive,
        generate_mid: said.generate_mid,
        block_dtmf: said.block_dtmf,
        detect_dtmf: said.detect_dtmf,
        rtcp_mirror: said.rtcp_mirror,
        tos: said.tos,
        label: said.label.or(said.set_label),
        delete_delay: said.delete_delay,
        codecs: codecs(&said.codecs),
        record: said.record,
        consent: said.metadata.as_ref().map(consent).unwrap_or_default(),
        remove_media: said.remove_media,
        attributes: said.attributes.into_iter().map(attribute).collect(),
    }
}

const fn replace(said: said::Replace) -> media::Replace {
    media::Replace {
        origin: said.origin,
        origin_full: said.origin_full,
        session_name: said.session_name,
        sdp_version: said.sdp_version,
        force_increment_version: said.force_increment_version,
        username: said.username,
        zero_address: said.zero_address,
        session_connection: said.session_connection,
    }
}

const fn protocol(said: said::Protocol) -> Protocol {
    match said {
        said::Protocol::Avp => Protocol::Avp,
        said::Protocol::Avpf => Protocol::Avpf,
        said::Protocol::Savp => Protocol::Savp,
        said::Protocol::Savpf => Protocol::Savpf,
        said::Protocol::TlsSavp => Protocol::TlsSavp,
        said::Protocol::TlsSavpf => Protocol::TlsSavpf,
    }
}

const fn ice(said: said::Ice) -> media::Ice {
    match said {
        said::Ice::Remove => media::Ice::Remove,
        said::Ice::Force => media::Ice::Force,
        said::Ice::Default => media::Ice::Default,
        said::Ice::ForceRelay => media::Ice::ForceRelay,
        said::Ice::Optional => media::Ice::Optional,
    }
}

const fn ice_lite(said: said::IceLite) -> media::IceLite {
    match said {
        said::IceLite::Forward => media::IceLite::Forward,
        said::IceLite::Backward => media::IceLite::Backward,
        said::IceLite::Both => media::IceLite::Both,
        said::IceLite::Off => media::IceLite::Off,
    }
}

const fn dtls(said: said::Dtls) -> media::Dtls {
    match said {
        said::Dtls::Off => media::Dtls::Off,
        said::Dtls::Passive => media::Dtls::Passive,
        said::Dtls::Active => media::Dtls::Active,
    }
}

const fn learning(said: said::Learning) -> raceway_api::Learning {
    match said {
        said::Learning::Off => raceway_api::Learning::Off,
        said::Learning::Immediate => raceway_api::Learning::Immediate,
        said::Learning::Delayed => raceway_api::Learning::Delayed,
        said::Learning::Heuristic => raceway_api::Learning::Heuristic,
    }
}

fn sdes(said: said::Sdes, warnings: &mut Vec<String>) -> media::Sdes {
    let mut suites = |names: Vec<String>| {
        let known = names.into_iter().filter_map(|name| {
            let suite = Suite::of(&name);
            if suite.is_none() {
                warnings.push(format!("SDES: suite {name:?} is not supported"));
            }
            suite
        });
        known.collect::<Vec<_>>()
    };
    media::Sdes {
        off: said.off,
        // That a suite which is not there be left out is no loss.
        without: said.without.iter().filter_map(|name| Suite::of(name)).collect(),
        only: suites(said.only),
        order: suites(said.order),
        nonew: said.nonew,
        recrypt: said.recrypt,
        pad: said.pad,
        prefer: said.prefer,
    }
}

fn codecs(said: &said::Codecs) -> Selection {
    let names = |names: &[String]| names.iter().map(|name| CodecName::of(name)).collect();
    // rtpengine tells them apart where it transcodes.
    let is_all = |name: &String| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("full");
    let named: Vec<String> = said.strip.iter().filter(|name| !is_all(name)).cloned().collect();
    Selection {
        strip: names(&named),
        strip_all: named.len() < said.strip.len(),
        except: names(&said.except),
        offer: names(&said.offer),
        single: said.single,
    }
}

fn attribute((scope, change): (said::Scope, said::AttributeChange)) -> (media::Scope, media::AttributeChange) {
    let scope = match scope {
        said::Scope::Session => media::Scope::Session,
        said::Scope::Audio => media::Scope::Media("audio".to_owned()),
        said::Scope::Video => media::Scope::Media("video".to_owned()),
    };
    let change = match change {
        said::AttributeChange::Add(text) => media::AttributeChange::Add(text),
        said::AttributeChange::Remove(text) => media::AttributeChange::Remove(text),
        said::AttributeChange::Substitute(old, new) => media::AttributeChange::Substitute(old, new),
    };
    (scope, change)
}
