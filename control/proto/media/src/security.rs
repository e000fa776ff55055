//! Keys in SDP (RFC 4568, RFC 8643): which are offered to whom, and what an answer makes of them.

use raceway_api::{Secret, Security, SrtpKey};
use raceway_ports::Random;
use raceway_sdp::{Crypto, KeyMaterial, Media, Protocol, Suite};
use zeroize::Zeroizing;

use crate::call::{OfferedMedia, Stream};
use crate::options::{Osrtp, Sdes};
use crate::refusal::Refusal;

/// What was agreed on with both sides of an m-line.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// Of who offered: what it sends with, what we send to it with.
    pub offerer: (Security, Security),
    /// Of who answered.
    pub answerer: (Security, Security),
    /// Goes into the answer that the offerer gets.
    pub line: Option<Crypto>,
}

/// The suites that may be offered, best first.
pub(crate) fn suites(sdes: &Sdes) -> Vec<Suite> {
    let is_wanted =
        |suite: &Suite| (sdes.only.is_empty() || sdes.only.contains(suite)) && !sdes.without.contains(suite);
    let mut suites: Vec<Suite> = sdes.order.iter().copied().filter(is_wanted).collect();
    for suite in Suite::ALL.into_iter().filter(is_wanted) {
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    suites
}

/// What an m-line of this protocol offers: the other side's own keys first, so that packets may pass as they are, then
/// keys of ours. Keys that were offered before stay.
pub(crate) fn offer(
    protocol: Protocol,
    media: &OfferedMedia,
    before: &[Crypto],
    (osrtp, sdes): (Osrtp, &Sdes),
    random: &mut Random,
) -> Vec<Crypto> {
    // Keys of an offer that is no SRTP are an opportunity (RFC 8643). Those of SRTP that is to be plain are not.
    let opportunity = !media.protocol.is_secure() && !media.crypto.is_empty();
    let opportunistic = !protocol.is_secure() && (osrtp.offer || osrtp.offer_legacy || opportunity);
    if sdes.off || protocol.is_dtls() || !(protocol.is_secure() || opportunistic) {
        return Vec::new();
    }
    let allowed = suites(sdes);
    let theirs = media.crypto.iter().filter(|line| allowed.contains(&line.suite));
    let mut lines: Vec<Crypto> = theirs.cloned().collect();
    if sdes.recrypt {
        lines.clear();
    }
    if sdes.nonew && !lines.is_empty() {
        return lines;
    }
    let mut tag = lines.iter().map(|line| line.tag).max().unwrap_or(0);
    for suite in allowed {
        if lines.iter().any(|line| line.suite == suite) {
            continue;
        }
        tag = tag.wrapping_add(1);
        let is_ours =
            |line: &&Crypto| line.suite == suite && !media.crypto.iter().any(|their| their.material == line.material);
        let kept = before.iter().find(is_ours).map(|line| line.material.clone());
        lines.push(Crypto { tag, suite, material: kept.unwrap_or_else(|| generate(suite, random)), mki: None });
    }
    if sdes.prefer {
        let order = suites(sdes);
        lines.sort_by_key(|line| order.iter().position(|suite| *suite == line.suite));
    }
    lines
}

/// Makes of an answer what both sides send with; `is_dtls`: the answerer's keys come from DTLS. `line` counts m-lines from 1.
pub(crate) fn agree(
    line: usize,
    (offered, offerer): (&OfferedMedia, &Stream),
    (answer, answerer, is_dtls): (&Media, &Stream, bool),
    (osrtp, sdes): (Osrtp, &Sdes),
    random: &mut Random,
) -> Result<Agreement, Refusal> {
    let (chosen, answerer_security) = accepted(line, &answerer.offered, answer, is_dtls)?;
    if offered.dtls.is_some() {
        return Ok(Agreement { offerer: (Security::Await, Security::Await), answerer: answerer_security, line: None });
    }
    let wants = offered.protocol.is_secure() || (!offered.crypto.is_empty() && (osrtp.accept || chosen.is_some()));
    if !wants {
        return Ok(Agreement { offerer: (Security::Plain, Security::Plain), answerer: answerer_security, line: None });
    }
    let same = chosen.as_ref().and_then(|(ours, theirs)| {
        let passed = offered.crypto.iter().find(|line| line.material == ours.material && line.suite == ours.suite)?;
        Some((passed, Crypto { tag: passed.tag, ..(*theirs).clone() }))
    });
    let (received, sent) = match same.filter(|_| !sdes.recrypt) {
        Some((received, sent)) => (received.clone(), sent),
        None => {
            let received = picked(line, offered, sdes)?;
            let before = kept(offerer, received).filter(|_| !is_of(answerer, &offerer.send));
            (received.clone(), reply(received, before, random))
        }
    };
    Ok(Agreement { offerer: (key(&received), key(&sent)), answerer: answerer_security, line: Some(sent) })
}

/// The line of ours that an answer chose and the answer's own, and what its side and we send with.
type Accepted<'a> = (Option<(&'a Crypto, &'a Crypto)>, (Security, Security));

/// Makes of an answer to what we offered what its side and we send with, and says which lines were chosen.
pub(crate) fn accepted<'a>(
    line: usize,
    ours: &'a [Crypto],
    answer: &'a Media,
    is_dtls: bool,
) -> Result<Accepted<'a>, Refusal> {
    if is_dtls {
        return Ok((None, (Security::Await, Security::Await)));
    }
    let chosen = chosen(line, ours, answer)?;
    let security = chosen.map_or((Security::Plain, Security::Plain), |(ours, theirs)| (key(theirs), key(ours)));
    Ok((chosen, security))
}

/// Makes of an offer that we answer ourselves what its side and we send with, and the line of the answer.
pub(crate) fn answered(
    line: usize,
    offered: &OfferedMedia,
    offerer: &Stream,
    sdes: &Sdes,
    random: &mut Random,
) -> Result<(Option<Crypto>, (Security, Security)), Refusal> {
    if offered.dtls.is_some() {
        return Ok((None, (Security::Await, Security::Await)));
    }
    if !offered.protocol.is_secure() {
        return Ok((None, (Security::Plain, Security::Plain)));
    }
    let received = picked(line, offered, sdes)?;
    let sent = reply(received, kept(offerer, received), random);
    let security = (key(received), key(&sent));
    Ok((Some(sent), security))
}

/// Our line that the answer chose, and the line in the answer. None: it is not secured.
fn chosen<'a>(line: usize, ours: &'a [Crypto], answer: &'a Media) -> Result<Option<(&'a Crypto, &'a Crypto)>, Refusal> {
    let Some(theirs) = answer.crypto.first() else {
        let is_missing = answer.protocol.is_secure();
        let refusal = || no_suite(line, answer.protocol, &answer.crypto);
        return if is_missing { Err(refusal()) } else { Ok(None) };
    };
    if ours.is_empty() && !answer.protocol.is_secure() {
        return Ok(None);
    }
    let found = ours.iter().find(|our| our.tag == theirs.tag && our.suite == theirs.suite);
    let not_offered = || Refusal::NotOffered { line, tag: theirs.tag, suite: theirs.suite.name() };
    found.map(|our| Some((our, theirs))).ok_or_else(not_offered)
}

/// The line of an offer that we take: the first, or the best by our order. Which suites we offer ourselves has nothing to do
/// with it.
fn pick<'a>(lines: &'a [Crypto], sdes: &Sdes) -> Option<&'a Crypto> {
    let order = suites(&Sdes { only: Vec::new(), without: Vec::new(), ..sdes.clone() });
    let rank = |line: &&Crypto| order.iter().position(|suite| *suite == line.suite);
    if sdes.prefer { lines.iter().min_by_key(rank) } else { lines.first() }
}

fn picked<'a>(line: usize, offered: &'a OfferedMedia, sdes: &Sdes) -> Result<&'a Crypto, Refusal> {
    pick(&offered.crypto, sdes).ok_or_else(|| no_suite(line, offered.protocol, &offered.crypto))
}

/// Our line in an answer: with the key that we send with already, or a new one.
fn reply(received: &Crypto, before: Option<KeyMaterial>, random: &mut Random) -> Crypto {
    let material = before.unwrap_or_else(|| generate(received.suite, random));
    Crypto { tag: received.tag, suite: received.suite, material, mki: None }
}

/// What we send to one side is protected with a key of this one: it belongs to packets that pass as they are.
fn is_of(stream: &Stream, sent: &Security) -> bool {
    matches!((&stream.receive, sent), (Security::Srtp(theirs), Security::Srtp(sent)) if theirs == sent)
}

/// The key that we send to the offerer with already, if it fits: an answer that comes again must say the same.
fn kept(offerer: &Stream, received: &Crypto) -> Option<KeyMaterial> {
    let (Security::Srtp(before), Security::Srtp(sent)) = (&offerer.receive, &offerer.send) else { return None };
    if **before != srtp_key(received) || sent.suite != api_suite(received.suite) {
        return None;
    }
    let octets = Zeroizing::new([sent.key.expose(), sent.salt.expose()].concat());
    KeyMaterial::new(received.suite, &octets)
}

fn no_suite(line: usize, protocol: Protocol, crypto: &[Crypto]) -> Refusal {
    let names: Vec<&str> = Suite::ALL.into_iter().map(Suite::name).collect();
    Refusal::NoSuite { line, protocol: protocol.to_string(), lines: crypto.len(), suites: names.join(", ") }
}

fn generate(suite: Suite, random: &mut Random) -> KeyMaterial {
    let mut octets = Zeroizing::new(vec![0; suite.key_octets() + suite.salt_octets()]);
    random.fill(&mut octets);
    KeyMaterial::new(suite, &octets).expect("it is as long as the suite wants it")
}

fn key(crypto: &Crypto) -> Security {
    srtp_key(crypto).into()
}

fn srtp_key(crypto: &Crypto) -> SrtpKey {
    let (key, salt) = crypto.material.octets().split_at(crypto.suite.key_octets());
    let mki = crypto.mki.map(|(value, octets)| value.to_be_bytes()[4 - usize::from(octets)..].to_vec());
    SrtpKey {
        suite: api_suite(crypto.suite),
        key: Secret::new(key),
        salt: Secret::new(salt),
        mki: mki.unwrap_or_default(),
        lifetime: None,
    }
}

const fn api_suite(suite: Suite) -> raceway_api::Suite {
    match suite {
        Suite::AesCm128Sha1Tag80 => raceway_api::Suite::AesCm128HmacSha1_80,
        Suite::AesCm128Sha1Tag32 => raceway_api::Suite::AesCm128HmacSha1_32,
        Suite::AesCm256Sha1Tag80 => raceway_api::Suite::AesCm256HmacSha1_80,
        Suite::AesCm256Sha1Tag32 => raceway_api::Suite::AesCm256HmacSha1_32,
        Suite::AesGcm128 => raceway_api::Suite::AeadAes128Gcm,
        Suite::AesGcm256 => raceway_api::Suite::AeadAes256Gcm,
    }
}
