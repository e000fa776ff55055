use stun_types::attribute::{ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithmValue, PasswordAlgorithms, Realm};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt,
    MessageWriteVec,
};
use turn_types::attribute::{ChannelNumber, Lifetime, XorRelayedAddress};

use super::*;

const RELAYED: &str = "192.0.2.15:50000";
const PEER: &str = "192.0.2.150:7000";
/// The cookie, security features with the bit of password algorithms, and something.
const NONCE_OF_RFC_8489: &str = "obMatJos2gAAAxyz";

fn second(s: u64) -> Instant {
    Instant::from_ns(s * 1_000_000_000)
}

fn client() -> Client {
    let credentials = Arc::new(Credentials::new("alice", "wonderland").unwrap());
    Client::new(credentials, Settings::default(), 1, second(0))
}

fn algorithm_of(request: &Message<'_>) -> IntegrityAlgorithm {
    let chosen = request.attribute::<PasswordAlgorithm>().map(|chosen| chosen.algorithm());
    if chosen == Ok(PasswordAlgorithmValue::SHA256) { IntegrityAlgorithm::Sha256 } else { IntegrityAlgorithm::Sha1 }
}

fn key(algorithm: IntegrityAlgorithm, password: &str) -> stun_types::message::IntegrityKey {
    LongTermKeyCredentials::new("alice".into(), password.into(), "example.org".into()).make_key(algorithm)
}

/// A response of a server that knows alice.
fn response(request: &[u8], error: Option<u16>, add: impl FnOnce(&mut MessageWriteVec, u128)) -> Vec<u8> {
    let request = Message::from_bytes(request).unwrap();
    let class = if error.is_some() { MessageClass::Error } else { MessageClass::Success };
    let kind = MessageType::from_class_method(class, request.method());
    let mut writer = Message::builder(kind, request.transaction_id(), MessageWriteVec::new());
    if let Some(code) = error {
        writer.add_attribute(&ErrorCode::builder(code).build().unwrap()).unwrap();
    }
    add(&mut writer, request.transaction_id().into());
    let algorithm = algorithm_of(&request);
    if !matches!(error, Some(401 | 438)) {
        writer.add_message_integrity_with_key(&key(algorithm, "wonderland"), algorithm).unwrap();
    }
    writer.finish()
}

fn demand(writer: &mut MessageWriteVec, nonce: &str, sha256: bool) {
    writer.add_attribute(&Realm::new("example.org").unwrap()).unwrap();
    writer.add_attribute(&Nonce::new(nonce).unwrap()).unwrap();
    if sha256 {
        let both = [PasswordAlgorithmValue::SHA256, PasswordAlgorithmValue::MD5];
        writer.add_attribute(&PasswordAlgorithms::new(&both)).unwrap();
    }
}

fn grant(writer: &mut MessageWriteVec, transaction: u128) {
    writer.add_attribute(&XorRelayedAddress::new(RELAYED.parse().unwrap(), transaction.into())).unwrap();
    writer.add_attribute(&Lifetime::new(600)).unwrap();
}

fn transmit(client: &mut Client, now: Instant) -> Vec<u8> {
    client.poll_transmit(now).expect("a request").to_vec()
}

fn allocated() -> Client {
    let mut client = client();
    let first = transmit(&mut client, second(0));
    client.handle(&response(&first, Some(401), |w, _| demand(w, "n1", false)), second(0));
    let signed = transmit(&mut client, second(0));
    assert_eq!(client.handle(&response(&signed, None, grant), second(1)), Incoming::Answer);
    let event = client.poll_event();
    assert!(matches!(event, Some(Event::Allocated { took, lifetime_s: 600, .. }) if took == Duration::from_secs(1)));
    client
}

#[test]
fn the_first_request_is_bare_and_the_second_answers_the_challenge() {
    let mut client = client();
    let first = transmit(&mut client, second(0));
    assert!(Message::from_bytes(&first).unwrap().attribute::<Nonce>().is_err());
    client.handle(&response(&first, Some(401), |w, _| demand(w, "n1", false)), second(0));
    let signed = transmit(&mut client, second(0));
    let signed = Message::from_bytes(&signed).unwrap();
    assert_eq!(signed.attribute::<Nonce>().unwrap().nonce(), "n1");
    let by = signed.validate_integrity_with_key(&key(IntegrityAlgorithm::Sha1, "wonderland"));
    assert_eq!(by.unwrap(), IntegrityAlgorithm::Sha1);
}

#[test]
fn an_offer_of_password_algorithms_counts_only_if_the_nonce_vouches_for_it() {
    for (nonce, expected) in [(NONCE_OF_RFC_8489, IntegrityAlgorithm::Sha256), ("plain", IntegrityAlgorithm::Sha1)] {
        let mut client = client();
        let first = transmit(&mut client, second(0));
        client.handle(&response(&first, Some(401), |w, _| demand(w, nonce, true)), second(0));
        let signed = transmit(&mut client, second(0));
        let message = Message::from_bytes(&signed).unwrap();
        assert_eq!(message.validate_integrity_with_key(&key(expected, "wonderland")).unwrap(), expected);
        assert_eq!(message.attribute::<PasswordAlgorithms>().is_ok(), expected == IntegrityAlgorithm::Sha256);
        client.handle(&response(&signed, None, grant), second(0));
        assert!(matches!(client.poll_event(), Some(Event::Allocated { .. })));
    }
}

#[test]
fn credentials_that_the_server_refuses_twice_are_wrong() {
    let mut client = client();
    let first = transmit(&mut client, second(0));
    client.handle(&response(&first, Some(401), |w, _| demand(w, "n1", false)), second(0));
    let signed = transmit(&mut client, second(0));
    client.handle(&response(&signed, Some(401), |w, _| demand(w, "n2", false)), second(0));
    assert!(matches!(client.poll_event(), Some(Event::Refused { method: Method::Allocate, code: 401, .. })));
    assert!(client.is_over() && client.poll_transmit(second(60)).is_none());
}

#[test]
fn a_client_that_does_not_answer_challenges_takes_the_first_for_a_refusal() {
    let credentials = Arc::new(Credentials::new("alice", "wonderland").unwrap());
    let settings = Settings { answers_challenges: false, ..Settings::default() };
    let mut client = Client::new(credentials, settings, 1, second(0));
    let first = transmit(&mut client, second(0));
    client.handle(&response(&first, Some(401), |w, _| demand(w, "n1", false)), second(0));
    assert!(matches!(client.poll_event(), Some(Event::Refused { code: 401, .. })));
    assert!(client.is_over());
}

#[test]
fn a_stale_nonce_is_replaced_and_the_request_goes_on() {
    let mut client = allocated();
    client.bind(PEER.parse().unwrap(), second(1)).unwrap();
    let bind = transmit(&mut client, second(1));
    client.handle(&response(&bind, Some(438), |w, _| demand(w, "n2", false)), second(1));
    let again = transmit(&mut client, second(1));
    let message = Message::from_bytes(&again).unwrap();
    assert_eq!(message.attribute::<Nonce>().unwrap().nonce(), "n2");
    assert_eq!(message.attribute::<ChannelNumber>().unwrap().channel(), 0x4000);
    client.handle(&response(&again, None, |_, _| {}), second(1));
    assert!(matches!(client.poll_event(), Some(Event::Bound { channel: 0x4000, .. })));
}

#[test]
fn a_server_that_only_finds_nonces_stale_is_given_up() {
    let mut client = client();
    for n in 0..=CHALLENGES_MAX {
        let request = transmit(&mut client, second(0));
        let nonce = format!("n{n}");
        client.handle(&response(&request, Some(438), |w, _| demand(w, &nonce, false)), second(0));
    }
    assert!(matches!(client.poll_event(), Some(Event::Refused { code: 438, .. })));
}

#[test]
fn a_success_with_the_integrity_of_another_key_is_ignored() {
    let mut client = client();
    let first = transmit(&mut client, second(0));
    client.handle(&response(&first, Some(401), |w, _| demand(w, "n1", false)), second(0));
    let signed = transmit(&mut client, second(0));
    let mut forged = response(&signed, None, grant);
    let end = forged.len();
    forged[end - 1] ^= 1;
    assert_eq!(client.handle(&forged, second(0)), Incoming::Unexpected);
    assert_eq!(client.poll_event(), None);
    let again = transmit(&mut client, second(1));
    client.handle(&response(&again, None, grant), second(1));
    assert!(matches!(client.poll_event(), Some(Event::Allocated { .. })), "the true answer still counts");
}

#[test]
fn an_allocation_is_refreshed_and_a_channel_bound_again_in_time() {
    let mut client = allocated();
    client.bind(PEER.parse().unwrap(), second(1));
    let bind = transmit(&mut client, second(1));
    client.handle(&response(&bind, None, |_, _| {}), second(1));
    assert_eq!(client.poll_timeout(), Some(second(241)));
    let again = transmit(&mut client, second(241));
    assert!(Message::from_bytes(&again).unwrap().has_method(Method::ChannelBind.into()));
    client.handle(&response(&again, None, |_, _| {}), second(241));
    let bind = transmit(&mut client, second(481));
    client.handle(&response(&bind, None, |_, _| {}), second(481));
    assert_eq!(client.poll_timeout(), Some(second(541)), "600 s after the Allocate, less a minute");
    let refresh = transmit(&mut client, second(541));
    assert!(Message::from_bytes(&refresh).unwrap().has_method(Method::Refresh.into()));
}

#[test]
fn a_silent_server_is_given_up() {
    let mut client = client();
    let mut sent = 0;
    while let Some(at) = client.poll_timeout() {
        sent += usize::from(client.poll_transmit(at).is_some());
    }
    assert_eq!((sent, client.poll_event()), (7, Some(Event::Unanswered { method: Method::Allocate })));
}

#[test]
fn closing_ends_the_allocation_and_then_nothing_is_sent() {
    let mut client = allocated();
    client.close(second(2));
    let refresh = transmit(&mut client, second(2));
    assert_eq!(Message::from_bytes(&refresh).unwrap().attribute::<Lifetime>().unwrap().seconds(), 0);
    client.handle(&response(&refresh, None, |_, _| {}), second(2));
    assert!(matches!(client.poll_event(), Some(Event::Closed { .. })));
    assert!(client.is_over() && client.poll_timeout().is_none());
}

#[test]
fn data_comes_by_channel_and_by_indication_and_nonsense_is_counted() {
    let mut client = allocated();
    let channel = [0x40, 0, 0, 3, b'a', b'b', b'c', 0];
    let expected = Incoming::Data { origin: Origin::Channel(0x4000), payload: 4..7 };
    assert_eq!(client.handle(&channel, second(1)), expected);
    assert_eq!(client.handle(&channel[..6], second(1)), Incoming::Unexpected, "cut short");
    let template = crate::turn::SendTemplate::new(PEER.parse().unwrap(), 5);
    let mut indication = vec![0; template.header() + 4];
    template.write(&mut indication, 4).unwrap();
    // A Send indication is a client's; the same with the other method is the server's.
    assert_eq!(client.handle(&indication, second(1)), Incoming::Unexpected);
    indication[1] = 0x17;
    let start = template.header();
    let expected = Incoming::Data { origin: Origin::Peer(PEER.parse().unwrap()), payload: start..start + 4 };
    assert_eq!(client.handle(&indication, second(1)), expected);
    for nonsense in [&[][..], &[0xff; 30], &[0; 20]] {
        assert_eq!(client.handle(nonsense, second(1)), Incoming::Unexpected);
    }
    assert_eq!(client.unexpected(), 5);
}

proptest::proptest! {
    #[test]
    fn nothing_that_arrives_panics(datagram: Vec<u8>) {
        allocated().handle(&datagram, second(1));
        crate::turn::fuzz(&datagram);
    }
}
