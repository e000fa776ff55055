//! ICE (RFC 8445) of streams: what signalling agreed on, and the agents that carry it out.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use raceway_api::{Datagram, LegId, SessionId, ToRelay};
use raceway_ice::{Agent, Candidate, CandidateKind, Component, Credentials, Event, Mode, Role, priority};
use raceway_ports::{Random, Relayed};
use raceway_units::Instant;
use zeroize::Zeroizing;

use crate::call::{Call, Stream};
use crate::calls::{Calls, Held};
use crate::dtls::{Associations, Outcome};
use crate::interfaces::Interfaces;
use crate::limits;
use crate::options::{Ice, IceLite, Options};
use crate::plan::Plan;
use crate::signal::is_link_local;

/// What a party says of ICE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TheirIce {
    pub credentials: Credentials,
    lite: bool,
    pub candidates: Vec<Candidate>,
}

/// What was agreed on with a party.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IceAgreement {
    pub mode: Mode,
    pub local: Credentials,
    pub remote: Option<Credentials>,
    pub candidates: Vec<Candidate>,
    /// Our candidates are called a relay's, so that others are preferred.
    pub relayed: bool,
}

impl TheirIce {
    /// None for a side that does not do ICE.
    pub fn read(ice: &raceway_sdp::Ice, interfaces: &Interfaces) -> Option<Self> {
        let credentials = ice.credentials.as_ref()?;
        let credentials = Credentials::new(&credentials.fragment, &credentials.password).ok()?;
        Some(Self { credentials, lite: ice.lite, candidates: candidates(ice, interfaces) })
    }
}

/// Candidates that can be checked: of each component a few at one IP address, since each is sent checks that it may not want.
pub(crate) fn candidates(ice: &raceway_sdp::Ice, interfaces: &Interfaces) -> Vec<Candidate> {
    let usable = |address: SocketAddr| {
        let ip = address.ip().to_canonical();
        let odd = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || is_link_local(ip);
        address.port() != 0 && !odd
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    for (number, address, priority) in ice.udp().filter(|(_, address, _)| usable(*address)) {
        let Some(component) = Component::from_number(number) else { continue };
        let address = interfaces.internal(address);
        let is_alike = |known: &&Candidate| known.component == component && known.address.ip() == address.ip();
        if candidates.iter().filter(is_alike).count() < limits::CANDIDATES_PER_ADDRESS {
            candidates.push(Candidate { component, address, priority });
        }
    }
    candidates
}

/// Whether the other side is offered ICE.
pub(crate) const fn is_offered(options: &Options, was_offered: bool) -> bool {
    match options.ice {
        Some(Ice::Remove) => false,
        Some(Ice::Force | Ice::ForceRelay) => true,
        Some(Ice::Default | Ice::Optional) | None => was_offered,
    }
}

impl IceAgreement {
    /// What we offer: as a lite agent unless asked otherwise.
    pub fn offered(options: &Options, random: &mut Random) -> Self {
        let full = matches!(options.ice_lite, Some(IceLite::Off | IceLite::Backward));
        let mode = if full { Mode::Full(Role::Controlling) } else { Mode::Lite };
        let relayed = options.ice == Some(Ice::ForceRelay);
        Self { mode, local: credentials(random), remote: None, candidates: Vec::new(), relayed }
    }

    /// What comes of it when the answer is there; None if it declines. Two lite sides have nothing to check.
    pub fn answered(mut self: Box<Self>, theirs: Option<&TheirIce>) -> Option<Box<Self>> {
        let theirs = theirs.filter(|theirs| !(theirs.lite && self.mode == Mode::Lite))?;
        self.remote = Some(theirs.credentials.clone());
        self.candidates.clone_from(&theirs.candidates);
        Some(self)
    }

    /// What we answer with: full to who is lite, lite to others unless asked otherwise. Credentials that changed are a
    /// restart (RFC 8839 section 4.4.1.1.1), which ours follow.
    pub fn answering(
        before: Option<Box<Self>>,
        theirs: &TheirIce,
        lite: Option<IceLite>,
        random: &mut Random,
    ) -> Box<Self> {
        let full = matches!(lite, Some(IceLite::Off | IceLite::Forward));
        let mode = match (theirs.lite, full) {
            (true, _) => Mode::Full(Role::Controlling),
            (false, true) => Mode::Full(Role::Controlled),
            (false, false) => Mode::Lite,
        };
        let same = before.filter(|before| before.remote.as_ref().is_none_or(|known| *known == theirs.credentials));
        Box::new(Self {
            mode,
            local: same.map_or_else(|| credentials(random), |before| before.local),
            remote: Some(theirs.credentials.clone()),
            candidates: theirs.candidates.clone(),
            relayed: false,
        })
    }

    pub fn is_lite(&self) -> bool {
        self.mode == Mode::Lite
    }

    /// Our credentials, for SDP.
    pub fn ours(&self) -> raceway_sdp::IceCredentials {
        let (fragment, password) = (self.local.ufrag().to_owned(), self.local.password().to_owned());
        raceway_sdp::IceCredentials { fragment, password }
    }

    /// Our candidates, for SDP; with another address if one is told.
    pub fn candidates(&self, locals: [Option<Relayed>; 2], ip: Option<IpAddr>) -> Vec<raceway_sdp::Candidate> {
        let kind = if self.relayed { CandidateKind::Relayed } else { CandidateKind::Host };
        let locals = Component::ALL.into_iter().zip(locals).filter_map(|(component, local)| Some((component, local?)));
        let candidates = locals.map(|(component, local)| {
            let address = SocketAddr::new(ip.unwrap_or(local.external.ip()), local.external.port());
            raceway_sdp::candidate(component.number(), address, priority(kind, component), self.relayed)
        });
        candidates.collect()
    }
}

fn credentials(random: &mut Random) -> Credentials {
    let mut octets = Zeroizing::new([0; 24]);
    random.fill(&mut octets[..]);
    Credentials::from_random(&octets)
}

/// The agents of a call, by transport, its DTLS associations, and the addresses whose STUN and DTLS they take.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    by_transport: BTreeMap<u32, Agent>,
    pub associations: Associations,
    bases: HashSet<SocketAddr>,
}

impl Agents {
    /// Makes the agents those that signalling agreed on.
    fn follow(&mut self, call: &Call, now: Instant, random: &mut Random) {
        let wanted = |name: u32| call.carrier(LegId(name)).is_some_and(|(_, stream)| stream.ice.is_some());
        self.by_transport.retain(|name, _| wanted(*name));
        self.bases.clear();
        for (_, _, stream) in call.streams() {
            if stream.ice.is_some() || stream.dtls.is_some() {
                self.bases.extend(stream.bases());
            }
            if let Some(ice) = &stream.ice {
                self.one(stream, ice, now, random);
            }
        }
    }

    fn one(&mut self, stream: &Stream, ice: &IceAgreement, now: Instant, random: &mut Random) {
        let bases = stream.bases();
        let agent = self.by_transport.entry(stream.transport.0).or_insert_with(|| {
            let mut seed = Zeroizing::new([0; 32]);
            random.fill(&mut seed[..]);
            Agent::new(ice.mode, ice.local.clone(), &bases, *seed)
        });
        if *agent.local_credentials() != ice.local {
            agent.restart(ice.local.clone());
        }
        agent.set_bases(&bases);
        if let Some(remote) = &ice.remote {
            agent.set_remote(remote.clone());
        }
        for candidate in ice.candidates.iter().filter(|candidate| candidate.address.is_ipv4() == bases[0].is_ipv4()) {
            // One too many is one less to try.
            let _ = agent.add_remote_candidate(now, *candidate);
        }
    }

    pub fn due(&self) -> Option<Instant> {
        let agents = self.by_transport.values().filter_map(Agent::poll_timeout).min();
        [agents, self.associations.due()].into_iter().flatten().min()
    }

    /// Whether DTLS may come from there: ICE validated it, or signalling named it.
    fn may_speak(&self, stream: &Stream, remote: SocketAddr) -> bool {
        match self.by_transport.get(&stream.transport.0) {
            Some(agent) => agent.is_validated(remote),
            None => stream.rtp == Some(remote),
        }
    }

    /// Where a party is for DTLS, once that is known.
    fn peer(by_transport: &BTreeMap<u32, Agent>, stream: &Stream) -> Option<SocketAddr> {
        match by_transport.get(&stream.transport.0) {
            Some(agent) => agent.selected(Component::Rtp),
            None => stream.rtp,
        }
    }
}

impl Calls {
    /// A datagram that arrived at a media address and is neither RTP nor RTCP (RFC 7983): STUN or DTLS.
    pub fn handle_punt(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, payload: &[u8]) {
        self.now = self.now.max(now);
        let Some(&session) = self.by_local.get(&local) else { return };
        let Some(held) = self.held.get_mut(&session) else { return };
        let Held { call, agents, .. } = &mut **held;
        let is_it = |stream: &&Stream| !stream.carried && stream.bases().contains(&local);
        let stream = call.streams().map(|(_, _, stream)| stream).find(is_it);
        let Some(stream) = stream else { return };
        match payload.first() {
            Some(0..=3) => {
                if let Some(agent) = agents.by_transport.get_mut(&stream.transport.0) {
                    agent.handle_datagram(self.now, local, remote, payload);
                }
            }
            Some(20..=63) if local == stream.local.internal && agents.may_speak(stream, remote) => {
                agents.associations.take(stream.transport, self.now, remote, payload);
            }
            _ => {}
        }
        self.hear_agents(session);
    }

    /// Agents and associations of a call do what its signalling says now.
    pub(crate) fn follow_agents(&mut self, session: SessionId) {
        let Some(held) = self.held.get_mut(&session) else { return };
        let Held { call, agents, .. } = &mut **held;
        let is_idle = agents.by_transport.is_empty() && agents.associations.is_empty();
        if is_idle && call.streams().all(|(_, _, stream)| stream.ice.is_none() && stream.dtls.is_none()) {
            return;
        }
        for base in &agents.bases {
            self.by_local.remove(base);
        }
        agents.follow(call, self.now, &mut self.random);
        self.by_local.extend(agents.bases.iter().map(|base| (*base, session)));
        self.hear_agents(session);
        self.reschedule(session);
    }

    /// A call is gone, and its agents with it.
    pub(crate) fn forget_agents(&mut self, agents: &Agents) {
        for base in &agents.bases {
            self.by_local.remove(base);
        }
    }

    /// Time has passed for the agents of a call.
    pub(crate) fn time_agents(&mut self, session: SessionId) {
        let Some(held) = self.held.get_mut(&session) else { return };
        if held.agents.due().is_some_and(|due| due <= self.now) {
            held.agents.by_transport.values_mut().for_each(|agent| agent.handle_timeout(self.now));
            held.agents.associations.handle_timeout(self.now);
            self.hear_agents(session);
        }
    }

    /// Sends what agents want sent, and lets media go where ICE says with the keys that DTLS brought.
    fn hear_agents(&mut self, session: SessionId) {
        let Some(held) = self.held.get_mut(&session) else { return };
        let Held { call, agents, measured, .. } = &mut **held;
        let (mut sends, mut nominations) = (Vec::new(), Vec::new());
        for (&name, agent) in &mut agents.by_transport {
            sends.extend(
                std::iter::from_fn(|| agent.poll_transmit()).map(|sent| (sent.local, sent.remote, sent.payload)),
            );
            nominations.extend(std::iter::from_fn(|| agent.poll_event()).filter_map(|event| match event {
                Event::Nominated { component, remote } => Some((LegId(name), component, Some(remote))),
                Event::ConsentLost { component } => Some((LegId(name), component, None)),
                Event::Failed { .. } => None,
            }));
        }
        let Agents { by_transport, associations, .. } = agents;
        let mut outcomes =
            associations.follow(call, &self.identities, self.now, |stream| Agents::peer(by_transport, stream));
        outcomes.extend(associations.poll(call));
        // Most datagrams change nothing, those of strangers never do: for them no plan is made.
        let has_keys = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Keys(..)));
        let is_news = has_keys || !nominations.is_empty();
        let before = is_news.then(|| Plan::of(call, measured, &self.interfaces));
        for (transport, component, remote) in nominations {
            measured.nominate(transport, component == Component::Rtcp, remote);
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Send { from, to, payload } => sends.push((from, to, payload)),
                Outcome::Keys(transport, receive, send) => measured.set_keys(transport, receive, send),
                Outcome::Failed(transport, reason) => {
                    let tag = call.carrier(transport).map(|(party, _)| party.tag().to_owned()).unwrap_or_default();
                    self.events.push_back(crate::Event::DtlsFailed { call_id: call.call_id.to_string(), tag, reason });
                }
            }
        }
        if let Some(before) = before {
            let operations = before.towards(&Plan::of(call, measured, &self.interfaces));
            self.tell(session, operations, false);
        }
        if !self.away {
            let datagrams = sends.into_iter().map(|(from, to, payload)| Datagram { from, to, payload: payload.into() });
            self.output.extend(datagrams.map(ToRelay::Send));
        }
        self.reschedule(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> Vec<Candidate> {
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n{lines}"
        );
        let described = raceway_sdp::Sdp::parse(body.as_bytes()).unwrap().describe().unwrap();
        candidates(&described.media[0].ice, &Interfaces::default())
    }

    fn line(number: usize, address: &str, port: usize) -> String {
        format!("a=candidate:{number} 1 udp {} {address} {port} typ host\r\n", 1000 - number)
    }

    #[test]
    fn one_address_is_sent_the_checks_of_a_few_candidates_and_no_more() {
        let one: String = (0..20).map(|n| line(n, "198.51.100.1", 5000 + n)).collect();
        let other = line(20, "198.51.100.2", 6000);
        let found = of(&(one + &other));
        assert_eq!(found.len(), limits::CANDIDATES_PER_ADDRESS + 1);
        assert!(found.iter().any(|candidate| candidate.address.port() == 6000));
    }

    #[test]
    fn nothing_is_checked_that_is_of_this_machine_or_link_alone() {
        for odd in ["127.0.0.1", "169.254.169.254", "fe80::1", "::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.1.1"] {
            assert_eq!(of(&line(1, odd, 5000)), [], "{odd}");
        }
    }
}
