//! Proxies that speak to a running appliance.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::machine::Appliance;

/// An appliance that takes commands, and where.
fn appliance(more: &str) -> (Appliance, String, String) {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").to_string();
    let (listen, http) = (free(), free());
    let appliance = Appliance::start(&format!("[ng]\nlisten = [\"{listen}\"]\nhttp_listen = \"{http}\"\n{more}"));
    (appliance, listen, http)
}

fn proxy(to: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(to).expect("loopback");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
    socket
}

fn ask(socket: &UdpSocket, message: &str) -> String {
    socket.send(message.as_bytes()).expect("loopback");
    let mut buffer = [0; 65_535];
    let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer to {message:?}: {error}"));
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a_proxy_is_answered_in_its_form_and_behind_its_cookie() {
    let (appliance, listen, _) = appliance("");
    let proxy = proxy(&listen);
    assert_eq!(ask(&proxy, "1_0 d7:command4:pinge"), "1_0 d6:result4:ponge");
    assert_eq!(ask(&proxy, "1_1 {\"command\":\"ping\"}"), "1_1 {\"result\":\"pong\"}");
    assert_eq!(ask(&proxy, "1_2 d7:command4:liste"), "1_2 d5:callsle6:result2:oke");
    assert!(ask(&proxy, "1_3 {\"command\":\"statistics\"}").contains("\"proxy\":\"127.0.0.1\",\"pingcount\":2"));
    assert_eq!(
        ask(&proxy, "1_4 {\"command\":\"play media\"}"),
        "1_4 {\"result\":\"error\",\"error-reason\":\"command \\\"play media\\\" is not supported: nothing is played into a call\"}"
    );
    assert!(ask(&proxy, "1_5 d7:command4:pingi1e").contains("octet 16: a key is a string"));
    let again = ask(&proxy, "1_3 {\"command\":\"statistics\"}");
    assert!(again.contains("\"pingcount\":2"), "the same question again is not carried out again: {again}");
    assert_eq!(appliance.metric("raceway_ng_commands_total{command=\"ping\",result=\"ok\"}"), 2.0);
    assert_eq!(appliance.metric("raceway_ng_commands_total{command=\"other\",result=\"error\"}"), 2.0);
    assert_eq!(appliance.metric("raceway_ng_repeats_total"), 1.0);
    assert_eq!(appliance.metric("raceway_ng_latency_seconds_count"), 6.0);
}

#[test]
fn a_stream_has_one_message_after_the_other() {
    let (appliance, listen, _) = appliance("");
    let mut stream = TcpStream::connect(&listen).expect("listening");
    stream.write_all(b"a d7:command4:pinge\r\nb {\"command\":\"ping\"}c d7:com").expect("loopback");
    let expected = "a d6:result4:pongeb {\"result\":\"pong\"}c d6:result4:ponge";
    let mut answers = vec![0; expected.len()];
    stream.read_exact(&mut answers[..36]).expect("two answers");
    stream.write_all(b"mand4:pinge").expect("loopback");
    stream.read_exact(&mut answers[36..]).expect("the third");
    assert_eq!(String::from_utf8_lossy(&answers), expected);
    stream.write_all(b"d xyz").expect("loopback");
    let mut last = String::new();
    stream.read_to_string(&mut last).expect("the stream ends");
    assert!(last.starts_with("d d6:result5:error12:error-reason"), "{last}");
    assert_eq!(appliance.metric("raceway_ng_drops_total{reason=\"broken_stream\"}"), 1.0);
}

fn post(to: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).expect("listening");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: raceway\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .expect("loopback");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("an answer");
    page
}

#[test]
fn http_takes_commands_with_and_without_a_cookie_and_not_from_web_pages() {
    let (_appliance, _, http) = appliance("");
    let page = post(&http, "/ng", "", "7_7 d7:command4:pinge");
    assert!(page.contains("application/x-rtpengine-ng") && page.ends_with("\r\n\r\n7_7 d6:result4:ponge"), "{page}");
    let page = post(&http, "/ng-plain", "", "{\"command\":\"ping\"}");
    assert!(page.contains("application/json") && page.ends_with("\r\n\r\n{\"result\":\"pong\"}"), "{page}");
    let page = post(&http, "/ng-plain", "Origin: http://example.org\r\n", "{\"command\":\"ping\"}");
    assert!(page.starts_with("HTTP/1.1 403"), "{page}");
    assert!(post(&http, "/ng", "", "nothing").starts_with("HTTP/1.1 400"));
    let page = post(&http, "/ng-plain", "", &"x".repeat(70_000));
    assert!(page.starts_with("HTTP/1.1 413"), "{page}");
}

#[test]
fn who_is_not_allowed_gets_no_answer_until_a_reload_allows_it() {
    let (appliance, listen, http) = appliance("allow = [\"192.0.2.0/24\"]\n");
    let proxy = proxy(&listen);
    proxy.send(b"1 d7:command4:pinge").expect("loopback");
    appliance.wait_for("the count", || appliance.metric("raceway_ng_drops_total{reason=\"not_allowed\"}") == 1.0);
    assert!(post(&http, "/ng-plain", "", "{}").starts_with("HTTP/1.1 403"));
    appliance
        .configure(&format!("[ng]\nlisten = [\"{listen}\"]\nhttp_listen = \"{http}\"\nallow = [\"127.0.0.0/8\"]\n"));
    let control = appliance.control.as_ref().expect("started");
    control.signal(nix::sys::signal::Signal::SIGHUP);
    appliance.wait_for("the reload", || control.log().contains("ng.allow: [192.0.2.0/24] -> [127.0.0.0/8] (applied)"));
    assert_eq!(ask(&proxy, "2 d7:command4:pinge"), "2 d6:result4:ponge");
}

#[test]
fn without_a_relay_a_ping_is_an_error_so_that_the_proxy_goes_elsewhere() {
    let (mut appliance, listen, _) = appliance("");
    let proxy = proxy(&listen);
    assert_eq!(ask(&proxy, "1 d7:command4:pinge"), "1 d6:result4:ponge");
    appliance.relay.as_mut().expect("started").kill();
    appliance.wait_for("control notices", || appliance.metric("raceway_relay_up") == 0.0);
    assert!(ask(&proxy, "2 {\"command\":\"ping\"}").contains("raceway-relay is not there"));
}

/// A phone: where it wants media, and what it says of that.
struct Phone {
    rtp: UdpSocket,
    sequence: u16,
}

impl Phone {
    /// On an address that is none of the appliance's, though of this machine.
    fn new(address: &str) -> Self {
        let rtp = UdpSocket::bind((address, 0)).expect("loopback");
        rtp.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        Self { rtp, sequence: 100 }
    }

    fn sdp(&self) -> String {
        let here = self.rtp.local_addr().expect("bound");
        let (ip, port) = (here.ip(), here.port());
        let lines = [
            "v=0".to_owned(),
            format!("o=- 1 1 IN IP4 {ip}"),
            "s=-".to_owned(),
            format!("c=IN IP4 {ip}"),
            "t=0 0".to_owned(),
            format!("m=audio {port} RTP/AVP 0"),
        ];
        lines.map(|line| line + "\\r\\n").concat()
    }

    /// Sends a packet of 20 ms of PCMU with this octet in it.
    fn say(&mut self, to: &str, octet: u8) {
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.extend([octet; 160]);
        self.sequence += 1;
        self.rtp.send_to(&packet, to).expect("loopback");
    }

    /// The octet of the next packet, and where it came from.
    fn hear(&self) -> (u8, String) {
        let mut buffer = [0; 2048];
        let (length, from) = self.rtp.recv_from(&mut buffer).expect("media");
        assert_eq!(length, 172);
        (buffer[171], from.to_string())
    }
}

/// Where the SDP of an answer wants media.
fn media_of(answer: &str) -> String {
    let (_, rest) = answer.split_once("m=audio ").unwrap_or_else(|| panic!("no SDP in {answer}"));
    format!("127.0.0.1:{}", rest.split(' ').next().expect("a port"))
}

#[test]
fn a_call_is_relayed_both_ways_between_its_offer_and_its_delete() {
    let (appliance, listen, _) = appliance("");
    let proxy = proxy(&listen);
    let (mut caller, mut callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
    let keys = "\"call-id\":\"x@y\",\"from-tag\":\"a\"";
    let (command, sdp) = ("{\"command\":", caller.sdp());
    let offered = ask(&proxy, &format!("1 {command}\"offer\",{keys},\"replace\":[\"origin\"],\"sdp\":\"{sdp}\"}}"));
    let for_callee = media_of(&offered);
    let sdp = callee.sdp();
    let answered = ask(&proxy, &format!("2 {command}\"answer\",{keys},\"to-tag\":\"b\",\"sdp\":\"{sdp}\"}}"));
    let for_caller = media_of(&answered);
    for octet in 1..=20 {
        caller.say(&for_caller, octet);
        assert_eq!(callee.hear(), (octet, for_callee.clone()));
        callee.say(&for_callee, 100 + octet);
        assert_eq!(caller.hear(), (100 + octet, for_caller.clone()));
    }
    assert_eq!(appliance.metric("raceway_calls"), 1.0);
    let blocked = ask(&proxy, &format!("3 {command}\"block media\",{keys}}}"));
    assert!(blocked.ends_with("{\"result\":\"ok\"}"), "{blocked}");
    caller.say(&for_caller, 50);
    callee.say(&for_callee, 51);
    assert_eq!(caller.hear().0, 51, "the other direction goes on");
    let deleted = ask(&proxy, &format!("4 {command}\"delete\",{keys}}}"));
    for part in ["\"tag\":\"b\"", "\"PCMU/8000\"", "\"result\":\"ok\""] {
        assert!(deleted.contains(part), "{part}: {deleted}");
    }
    // All that came, whichever way it took. What was blocked came too; a flow counts its packets, not its octets.
    let totals = deleted.split_once("\"totals\":{\"RTP\":{\"packets\":").expect("totals").1;
    assert!(totals.starts_with("42,\"bytes\":7052"), "{totals}");
    assert_eq!(appliance.metric("raceway_calls"), 0.0);
    assert_eq!(appliance.metric("raceway_calls_ended_total{reason=\"deleted\"}"), 1.0);
    assert_eq!(appliance.metric("raceway_call_loss_ratio_count"), 2.0);
}
