//! Every word of `flags`, and of the keys that hold words.

use crate::command::All;
use crate::entry::Place::{
    Bundle, Codec, Dtls, DtlsReverse, Flags, Ice, IceLite, Learning, Osrtp, Replace, RtcpMux, Sdes,
};
use crate::entry::{Entry, Wrong, begins, begins_in, moot, no, no_rest, no_rest_in, word};
use crate::fields::{Fields, unescaped};
use crate::keys::scope;
use crate::limits;
use crate::options::{self, AttributeChange, Protocol, RtcpAttribute, Transport};

const NO_CODECS: &str = "nothing is transcoded";
const AS_THEY_ARE: &str = "codecs and m-lines pass as they are";
const NO_PLAYER: &str = "nothing is played into a call";
const ALWAYS_SECURE: &str = "SRTP is always encrypted and authenticated";
const OBSOLETE: &str = "obsolete in rtpengine too";

/// Words of `flags`, in the order of their names.
pub(crate) const FLAGS: &[Entry] = &[
    word(Flags, &["all"], |f| f.all = All::All),
    moot(Flags, &["allow asymmetric codecs", "allow asymmetric codec"], AS_THEY_ARE),
    moot(Flags, &["allow no codec media", "allow no codec medias"], AS_THEY_ARE),
    moot(Flags, &["allow empty codec media", "allow empty codec medias"], AS_THEY_ARE),
    no(Flags, &["allow transcoding", "force transcoding", "always transcode"], NO_CODECS),
    word(Flags, &["asymmetric"], |f| f.options.asymmetric = true),
    moot(Flags, &["asymmetric codecs", "symmetric codecs", "reorder codecs"], OBSOLETE),
    no(Flags, &["audio player", "player"], NO_PLAYER),
    no(Flags, &["bidirectional"], "a subscription has its direction"),
    word(Flags, &["block DTMF"], |f| f.options.block_dtmf = true),
    no(Flags, &["block egress"], "media is blocked where it comes from"),
    no(Flags, &["block short", "block shorts", "block short packets"], "packets are not judged by their length"),
    no(Flags, &["debug", "debugging"], "use racewayctl log-level, which is for all calls"),
    word(Flags, &["detect DTMF"], |f| f.options.detect_dtmf = true)
        .but("events of RFC 4733; tones in audio are not found"),
    moot(Flags, &["directional"], "a party that is named is meant alone"),
    word(Flags, &["discard recording"], |f| f.discard = true).but("in `delete` and `stop recording`"),
    moot(Flags, &["early media"], "it starts a player in rtpengine; early media itself flows"),
    no(Flags, &["egress"], "both directions of a party are meant"),
    no(Flags, &["exclude recording"], "a recording has the whole call"),
    word(Flags, &["fatal"], |f| f.fatal = true),
    word(Flags, &["fast"], |f| f.fast = true),
    word(Flags, &["fragment"], |f| f.options.fragment = true),
    word(Flags, &["full rtcp attribute"], |f| f.options.rtcp_attribute = Some(RtcpAttribute::Full)),
    word(Flags, &["generate mid"], |f| f.options.generate_mid = true),
    no(Flags, &["generate RTCP"], "RTCP of the peers is passed on, translated; none is made"),
    word(Flags, &["reject ICE", "ICE reject"], |f| f.options.ice_reject = true),
    word(Flags, &["inactive"], |f| f.options.inactive = true),
    no(Flags, &["inject DTMF"], NO_PLAYER),
    no(Flags, &["loop protect"], "an SDP that comes back is rewritten again; nothing is sent from a call to itself"),
    word(Flags, &["media handover"], |f| f.options.media_handover = true),
    no(Flags, &["mix", "mixed"], "audio is not decoded"),
    no(Flags, &["NAT-wait"], "media is sent to a signalled address at once"),
    no(Flags, &["new branch"], "branches are told apart by tags and via-branch"),
    no(Flags, &["no codec renegotiation", "reuse codecs"], NO_CODECS),
    moot(Flags, &["no jitter buffer"], "there is none"),
    moot(Flags, &["no passthrough"], "there is no other way for media than that of the SDP"),
    moot(Flags, &["no player", "no audio player"], "there is none"),
    word(Flags, &["no port latching"], |f| f.options.no_port_latching = true),
    moot(Flags, &["no redis update"], "there is no database"),
    word(Flags, &["no rtcp attribute"], |f| f.options.rtcp_attribute = Some(RtcpAttribute::None)),
    moot(Flags, &["no tls id"], "no tls-id is written"),
    moot(Flags, &["original sendrecv"], "directions pass as the parties say them"),
    word(Flags, &["pad crypto"], |f| f.options.sdes.pad = true),
    no(Flags, &["passthrough"], NO_CODECS),
    word(Flags, &["pause"], |f| f.pause = true),
    no(Flags, &["pierce NAT"], "nothing is sent before there is media"),
    no(Flags, &["port latching"], "an address that stays the same is not learned again"),
    moot(Flags, &["provisional"], "a provisional answer is an answer"),
    word(Flags, &["record call"], |f| f.options.record = Some(true)).but("as the key with `yes`"),
    no(Flags, &["recording announcement"], NO_PLAYER),
    no(Flags, &["recording vsc"], "recording is by command alone"),
    word(Flags, &["recrypt"], |f| f.options.sdes.recrypt = true),
    no(Flags, &["reset"], "ports stay"),
    word(Flags, &["RTCP mirror", "mirror RTCP"], |f| f.options.rtcp_mirror = true).but("in a subscribe request"),
    word(Flags, &["single codec"], |f| f.options.codecs.single = true),
    no(Flags, &["static codec", "static codecs"], NO_CODECS),
    word(Flags, &["SIP source address"], |f| f.options.sip_source_address = true),
    no(Flags, &["SIPREC"], "an SDP is not embedded in anything"),
    moot(Flags, &["skip recording db", "skip recording database"], "there is no database"),
    word(Flags, &["strict source"], |f| f.options.strict_source = true),
    no(Flags, &["strip extmap"], "header extensions pass as they are"),
    moot(Flags, &["symmetric"], "it is the default"),
    word(Flags, &["to-tag"], |f| f.to_tag_flag = true),
    word(Flags, &["trickle ICE"], |f| f.options.trickle = true),
    word(Flags, &["trust address"], |f| f.options.sip_source_address = false),
    moot(Flags, &["unidirectional"], "one-way media is relayed in the kernel like any"),
    no(Flags, &["unsubscribe"], "the command is \"unsubscribe\""),
    word(Flags, &["WebRTC"], webrtc),
    // Words that begin so.
    begins_in(&["BUNDLE-"], Bundle),
    begins_in(&["endpoint-learning-"], Learning),
    begins_in(&["OSRTP-"], Osrtp),
    begins_in(&["replace-"], Replace),
    begins_in(&["rtcp-mux-"], RtcpMux),
    begins_in(&["SDES-"], Sdes),
    begins_in(&["codec-"], Codec),
    no_rest(&["transcode-"], NO_CODECS),
    no_rest(&["T.38-", "T38-"], "fax passes as it is"),
    begins(Flags, &["from-tags-"], |f, rest| f.add_from_tag(unescaped(rest))),
    begins(Flags, &["sdp-attr-add-"], |f, rest| attribute(f, rest, |text| Some(AttributeChange::Add(text)))),
    begins(Flags, &["sdp-attr-remove-"], |f, rest| attribute(f, rest, |text| Some(AttributeChange::Remove(text)))),
    begins(Flags, &["sdp-attr-substitute-"], |f, rest| {
        attribute(f, rest, |text| {
            let (from, to) = text.split_once('>')?;
            Some(AttributeChange::Substitute(from.to_owned(), to.to_owned()))
        })
    }),
];

/// Words of other keys.
pub(crate) const WORDS: &[Entry] = &[
    word(Replace, &["force-increment-sdp-ver"], |f| f.options.replace.force_increment_version = true),
    word(Replace, &["origin"], |f| f.options.replace.origin = true),
    word(Replace, &["origin-full"], |f| f.options.replace.origin_full = true),
    word(Replace, &["session connection"], |f| f.options.replace.session_connection = true),
    word(Replace, &["session name"], |f| f.options.replace.session_name = true),
    word(Replace, &["SDP version"], |f| f.options.replace.sdp_version = true),
    word(Replace, &["username"], |f| f.options.replace.username = true),
    word(Replace, &["zero address"], |f| f.options.replace.zero_address = true),
    word(Ice, &["remove"], |f| f.options.ice = Some(options::Ice::Remove)),
    word(Ice, &["force"], |f| f.options.ice = Some(options::Ice::Force)),
    word(Ice, &["default"], |f| f.options.ice = Some(options::Ice::Default)),
    word(Ice, &["force-relay"], |f| f.options.ice = Some(options::Ice::ForceRelay)),
    word(Ice, &["optional"], |f| f.options.ice = Some(options::Ice::Optional)),
    word(Ice, &["trickle"], |f| f.options.trickle = true),
    word(Ice, &["lite", "lite-forward", "lite-fwd", "lite-fw", "lite-offer"], forward),
    word(
        Ice,
        &["lite-backward", "lite-backwards", "lite-back", "lite-bkw", "lite-bk", "lite-reverse", "lite-answer"],
        backward,
    ),
    word(Ice, &["lite-both"], |f| f.options.ice_lite = Some(options::IceLite::Both)),
    word(Ice, &["lite-off", "lite-no", "lite-none", "no-lite"], |f| f.options.ice_lite = Some(options::IceLite::Off)),
    no(Ice, &["ice2"], "the attributes of RFC 8445 are understood, not offered"),
    word(IceLite, &["forward", "offer", "fwd", "fw"], forward),
    word(IceLite, &["backward", "backwards", "reverse", "answer", "back", "bkw", "bk"], backward),
    word(IceLite, &["both"], |f| f.options.ice_lite = Some(options::IceLite::Both)),
    word(IceLite, &["off", "none", "no"], |f| f.options.ice_lite = Some(options::IceLite::Off)),
    word(Dtls, &["off", "no", "disable", "disabled"], |f| f.options.dtls = Some(options::Dtls::Off)),
    word(Dtls, &["passive"], |f| f.options.dtls = Some(options::Dtls::Passive)),
    word(Dtls, &["active"], |f| f.options.dtls = Some(options::Dtls::Active)),
    no(DtlsReverse, &["passive", "active"], "towards whoever offered DTLS the role is that of RFC 5763"),
    word(Sdes, &["off", "no", "disable", "disabled"], |f| f.options.sdes.off = true),
    no(Sdes, &["unencrypted_srtp", "unencrypted_srtcp", "unauthenticated_srtp"], ALWAYS_SECURE),
    moot(Sdes, &["encrypted_srtp", "encrypted_srtcp", "authenticated_srtp"], ALWAYS_SECURE),
    word(Sdes, &["nonew"], |f| f.options.sdes.nonew = true),
    word(Sdes, &["pad"], |f| f.options.sdes.pad = true),
    no(Sdes, &["lifetime"], "keys are written without a lifetime"),
    no(Sdes, &["static"], "the suite is negotiated anew with each answer"),
    word(Sdes, &["prefer", "priority"], |f| f.options.sdes.prefer = true),
    begins(Sdes, &["no-"], |f, rest| suites(&mut f.options.sdes.without, rest)),
    begins(Sdes, &["only-"], |f, rest| suites(&mut f.options.sdes.only, rest)),
    begins(Sdes, &["order:"], |f, rest| suites(&mut f.options.sdes.order, rest)),
    no_rest_in(
        Sdes,
        &["offerer_pref:"],
        "the first suite that was offered and is supported is taken, or with `prefer` ours",
    ),
    word(Osrtp, &["offer", "offer-RFC"], |f| f.options.osrtp.offer = true),
    word(Osrtp, &["offer-legacy"], |f| f.options.osrtp.offer_legacy = true)
        .but("one m-line with keys (RFC 8643), not two"),
    word(Osrtp, &["accept-RFC"], |f| f.options.osrtp.accept = true),
    no(Osrtp, &["accept-legacy"], "m-lines that are offered twice are two"),
    word(Osrtp, &["accept"], |f| f.options.osrtp.accept = true).but("as accept-RFC"),
    word(RtcpMux, &["offer"], |f| f.options.rtcp_mux.offer = true),
    word(RtcpMux, &["require"], |f| (f.options.rtcp_mux.offer, f.options.rtcp_mux.require) = (true, true)),
    word(RtcpMux, &["demux"], |f| f.options.rtcp_mux.demux = true),
    word(RtcpMux, &["accept"], |f| f.options.rtcp_mux.accept = true),
    word(RtcpMux, &["reject"], |f| f.options.rtcp_mux.reject = true),
    word(Bundle, &["offer"], |f| f.options.bundle.offer = true),
    word(Bundle, &["require"], |f| f.options.bundle.require = true).but("m-lines but the first are bundle-only"),
    word(Bundle, &["accept"], |f| f.options.bundle.accept = true)
        .but("a bundle is accepted without it; with it, it is offered on to whomever"),
    word(Bundle, &["reject"], |f| f.options.bundle.reject = true),
    no(Bundle, &["strict"], "m-lines that cannot be in the bundle stand for themselves"),
    word(Learning, &["off"], |f| f.options.learning = Some(options::Learning::Off)),
    word(Learning, &["immediate"], |f| f.options.learning = Some(options::Learning::Immediate)),
    word(Learning, &["delayed"], |f| f.options.learning = Some(options::Learning::Delayed)),
    word(Learning, &["heuristic"], |f| f.options.learning = Some(options::Learning::Heuristic)),
];

fn forward(fields: &mut Fields) {
    fields.options.ice_lite = Some(options::IceLite::Forward);
}

fn backward(fields: &mut Fields) {
    fields.options.ice_lite = Some(options::IceLite::Backward);
}

/// What rtpengine takes it for: everything that a browser wants.
fn webrtc(fields: &mut Fields) {
    let options = &mut fields.options;
    options.transport = Some(Transport::As(Protocol::TlsSavpf));
    options.ice = Some(options::Ice::Force);
    options.rtcp_mux.offer = true;
    options.rtcp_mux.require = true;
    options.rtcp_attribute = Some(RtcpAttribute::None);
    options.sdes.off = true;
    options.generate_mid = true;
    options.trickle = true;
}

/// Names of suites between semicolons.
fn suites(list: &mut Vec<String>, rest: &str) -> Result<(), Wrong> {
    for suite in rest.split(';').filter(|suite| !suite.is_empty()) {
        if list.len() == limits::LIST_MAX {
            return Err(Wrong::Warn(format!("more than {} suites", limits::LIST_MAX)));
        }
        list.push(unescaped(suite));
    }
    Ok(())
}

/// `SCOPE-TEXT`.
fn attribute(fields: &mut Fields, rest: &str, change: impl Fn(String) -> Option<AttributeChange>) -> Result<(), Wrong> {
    let parts = rest.split_once('-').and_then(|(name, text)| Some((scope(name)?, change(unescaped(text))?)));
    let wrong = || Wrong::Warn("a scope and a value are expected, as in sdp-attr-add-audio-ptime:20".to_owned());
    let (scope, change) = parts.ok_or_else(wrong)?;
    fields.attribute(scope, change)
}
