//! Rooms by HTTP and WebSocket, as clients reach them: without a relay, so media does not flow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use futures_util::{SinkExt, StreamExt};
use raceway_control::rooms::{Front, Hall, router};
use raceway_dtls::{Certificate, Identity};
use raceway_rooms::meetings::{Meetings, Settings};
use raceway_rooms::{Grants, IceServer, Key, Keys, RoomScope};
use raceway_units::{Instant, UnixTime};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::ServiceExt;

const PUBLISH: &str = include_str!("../../proto/rooms/corpus/publish-chromium.sdp");
const PLAY: &str = include_str!("../../proto/rooms/corpus/play-chromium.sdp");
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Instant = Instant::from_ns(1_000_000_000);

fn wall() -> UnixTime {
    UnixTime(1_700_000_000)
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.add(Key::hmac("k", SECRET).expect("long enough")).expect("the first");
    keys
}

fn token(identity: &str, publish: bool, admin: bool) -> String {
    let identity = raceway_rooms::Identity::new(identity).expect("one");
    let room = RoomScope::Any;
    let grants =
        Grants { identity, is_shared: false, name: None, room, publish, subscribe: true, admin, expires: None };
    keys().sign("k", &grants, UnixTime(wall().0 + 60)).expect("signed")
}

fn front() -> Arc<Front> {
    let rooms = raceway_rooms::Settings { tracks_per_participant: 4, ..Default::default() };
    let settings = Settings {
        rooms,
        addresses: vec![SocketAddr::from(([192, 0, 2, 1], 7000))],
        preferred: Vec::new(),
        helpers: Vec::new(),
        resume_for: Duration::from_secs(10),
    };
    let random = |octets: &mut [u8]| getrandom::fill(octets).expect("random");
    let mut meetings = Meetings::new(settings, vec![SocketAddr::from(([10, 0, 0, 1], 7000))], Box::new(random));
    let certificate = Certificate::generate(wall()).expect("made");
    meetings.set_identity(Identity::new(&certificate).expect("made")).expect("hashed");
    let hall = Mutex::new(Hall::new(meetings));
    let obey = move |command| {
        hall.lock().expect("nobody panics with it").obey(NOW, command);
        Ok(())
    };
    let helpers = vec![IceServer { url: "stun:192.0.2.1:3478".to_owned(), credentials: None }];
    Front::new(Box::new(obey), wall, keys(), helpers)
}

fn request(method: &str, path: &str, token: Option<&str>, kind: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(kind) = kind {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    request.body(Body::from(body.to_owned())).expect("a request")
}

async fn ask(front: &Arc<Front>, request: Request<Body>) -> Response<Body> {
    router(Arc::clone(front)).oneshot(request).await.expect("it always answers")
}

async fn problem(front: &Arc<Front>, request: Request<Body>) -> (u16, String, String) {
    let response = ask(front, request).await;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("short");
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (status, word("code"), word("detail"))
}

fn head(response: &Response<Body>, name: header::HeaderName) -> String {
    let value = response.headers().get(&name).unwrap_or_else(|| panic!("no {name}"));
    value.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_publisher_gets_what_rfc_9725_has_and_ends_with_delete() {
    let front = front();
    let cam = token("cam", true, false);
    let offer = || request("POST", "/whip/r", Some(&cam), Some("application/sdp"), PUBLISH);
    let created = ask(&front, offer()).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(head(&created, header::CONTENT_TYPE), "application/sdp");
    assert_eq!(head(&created, header::LINK), "<stun:192.0.2.1:3478>; rel=\"ice-server\"");
    assert_eq!(head(&created, header::ACCESS_CONTROL_EXPOSE_HEADERS), "Location, ETag, Link");
    let (session, tag) = (head(&created, header::LOCATION), head(&created, header::ETAG));
    assert_eq!(problem(&front, offer()).await.1, "already_publishing");
    let fragment = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n";
    let mut trickle = request("PATCH", &session, Some(&cam), Some("application/trickle-ice-sdpfrag"), fragment);
    trickle.headers_mut().insert(header::IF_MATCH, tag.parse().expect("a value"));
    assert_eq!(ask(&front, trickle).await.status(), StatusCode::NO_CONTENT);
    let other = token("other", true, false);
    assert_eq!(problem(&front, request("DELETE", &session, Some(&other), None, "")).await.0, 403);
    assert_eq!(ask(&front, request("DELETE", &session, Some(&cam), None, "")).await.status(), StatusCode::OK);
    assert_eq!(problem(&front, request("DELETE", &session, Some(&cam), None, "")).await.1, "gone");
}

#[tokio::test]
async fn what_is_refused_says_why_with_the_documented_status() {
    let front = front();
    let (cam, tv) = (token("cam", true, false), token("tv", false, false));
    let sdp = Some("application/sdp");
    let mut told = Vec::new();
    for asked in [
        request("POST", "/whip/r", None, sdp, PUBLISH),
        request("POST", "/whip/r", Some("nonsense"), sdp, PUBLISH),
        request("POST", "/whip/r", Some(&tv), sdp, PUBLISH),
        request("POST", "/whip/a%2fb", Some(&cam), sdp, PUBLISH),
        request("POST", "/whip/r", Some(&cam), Some("text/plain"), PUBLISH),
        request("POST", "/whip/r", Some(&cam), sdp, "nonsense"),
        request("POST", "/whip/r", Some(&cam), sdp, PLAY),
        request("GET", "/whip/r", Some(&cam), None, ""),
        request("DELETE", "/session/none", Some(&cam), None, ""),
        request("DELETE", "/rooms/r", Some(&cam), None, ""),
        request("PUT", "/rooms/r", Some(&token("boss", true, true)), None, "{\"metadat\":1}"),
    ] {
        let (status, code, detail) = problem(&front, asked).await;
        assert!(detail.len() > 10, "{code}: {detail}");
        told.push((status, code));
    }
    let told: Vec<_> = told.iter().map(|(status, code)| (*status, code.as_str())).collect();
    let wanted = [
        (401, "token_missing"),
        (401, "token_invalid"),
        (403, "not_granted"),
        (400, "name_invalid"),
        (415, "content_type"),
        (422, "description"),
        (422, "description"),
        (405, "method"),
        (404, "gone"),
        (403, "not_granted"),
        (400, "message"),
    ];
    assert_eq!(told, wanted);
    let long = "x".repeat((128 << 10) + 2);
    let status = ask(&front, request("POST", "/whip/r", Some(&cam), sdp, &long)).await.status();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn browsers_of_other_origins_are_told_that_they_may() {
    let front = front();
    let options = ask(&front, request("OPTIONS", "/whep/r", None, None, "")).await;
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert_eq!(head(&options, header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    assert_eq!(head(&options, header::ACCESS_CONTROL_ALLOW_METHODS), "OPTIONS, POST");
    assert!(head(&options, header::ACCESS_CONTROL_ALLOW_HEADERS).contains("If-Match"));
    let refused = ask(&front, request("POST", "/whep/r", None, Some("application/sdp"), PLAY)).await;
    assert_eq!(head(&refused, header::ACCESS_CONTROL_ALLOW_ORIGIN), "*", "or nobody could read why");
    assert_eq!(head(&refused, header::WWW_AUTHENTICATE), "Bearer");
}

#[tokio::test]
async fn moderators_make_list_and_end_rooms() {
    let front = front();
    let boss = token("boss", true, true);
    let rooms = |method: &str, path: &str, body: &str| request(method, path, Some(&boss), None, body);
    let made = ask(&front, rooms("PUT", "/rooms/r", r#"{"metadata":"weekly","participants_max":3}"#)).await;
    assert_eq!(made.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(&front, rooms("PUT", "/rooms/r", "")).await.1, "room_exists");
    let cam = token("cam", true, false);
    ask(&front, request("POST", "/whip/r", Some(&cam), Some("application/sdp"), PUBLISH)).await;
    let shown = ask(&front, rooms("GET", "/rooms", "")).await;
    let body = axum::body::to_bytes(shown.into_body(), 1 << 16).await.expect("short");
    let list: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&list[0]["name"], &list[0]["metadata"]), (&json!("r"), &json!("weekly")));
    assert_eq!(list[0]["participants"][0]["tracks"].as_array().map(Vec::len), Some(2));
    let id = list[0]["participants"][0]["id"].as_u64().expect("a number");
    let track = list[0]["participants"][0]["tracks"][0]["id"].as_u64().expect("a number");
    let muted = rooms("PUT", &format!("/rooms/r/tracks/{track}"), r#"{"muted":true}"#);
    assert_eq!(ask(&front, muted).await.status(), StatusCode::NO_CONTENT);
    let out = rooms("DELETE", &format!("/rooms/r/participants/{id}"), "");
    assert_eq!(ask(&front, out).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(&front, rooms("DELETE", "/rooms/r/participants/x", "")).await.1, "gone");
    assert_eq!(ask(&front, rooms("DELETE", "/rooms/r", "")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(&front, rooms("GET", "/rooms/r", "")).await.1, "room_unknown");
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let front = front();
    for path in ["/meet", "/meet/team-7"] {
        let page = ask(&front, request("GET", path, None, None, "")).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert!(head(&page, header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
        let body = axum::body::to_bytes(page.into_body(), 1 << 16).await.expect("short");
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("<style"));
    }
    for (path, kind) in [("/meet/page/meet.js", "text/javascript"), ("/meet/page/meet.css", "text/css")] {
        let part = ask(&front, request("GET", path, None, None, "")).await;
        assert!(head(&part, header::CONTENT_TYPE).starts_with(kind));
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn served() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router(front())).await });
    format!("ws://{at}/meet/socket")
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.expect("it reads");
}

/// The next message of this type; others are passed over.
async fn hear(socket: &mut Socket, kind: &str) -> Value {
    let wanted = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == kind {
                        return message;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{kind} is awaited: {other:?}"),
            }
        }
    };
    timeout(Duration::from_secs(10), wanted).await.unwrap_or_else(|_| panic!("no {kind}"))
}

async fn joined(at: &str, identity: &str) -> Socket {
    let (mut socket, _) = connect_async(at).await.expect("served");
    say(&mut socket, &json!({"type": "join", "room": "r", "token": token(identity, true, false)})).await;
    socket
}

#[tokio::test]
async fn members_hear_of_each_other_and_are_offered_what_is_published() {
    let at = served().await;
    let mut a = joined(&at, "a").await;
    let me = hear(&mut a, "joined").await;
    assert_eq!(me["participants"].as_array().map(Vec::len), Some(1));
    let mut b = joined(&at, "b").await;
    assert_eq!(hear(&mut a, "participant_joined").await["participant"]["identity"], "b");
    let tracks = json!([{"mid": "0", "kind": "microphone"}, {"mid": "1", "kind": "camera"}]);
    say(&mut b, &json!({"type": "publish", "sdp": PUBLISH, "tracks": tracks})).await;
    assert_eq!(hear(&mut b, "published").await["tracks"].as_array().map(Vec::len), Some(2));
    let offer = hear(&mut a, "offer").await;
    assert_eq!(offer["tracks"].as_array().map(Vec::len), Some(2));
    say(&mut a, &json!({"type": "mute", "track": 99, "muted": true})).await;
    assert_eq!(hear(&mut a, "error").await["code"], "gone");
    say(&mut a, &json!({"type": "ping"})).await;
    hear(&mut a, "pong").await;
    say(&mut b, &json!({"type": "leave"})).await;
    assert_eq!(hear(&mut b, "bye").await["why"], "left");
    assert_eq!(hear(&mut a, "participant_left").await["why"], "left");
}

#[tokio::test]
async fn a_socket_that_breaks_is_taken_up_again_with_what_joined_gave() {
    let at = served().await;
    let mut a = joined(&at, "a").await;
    let me = hear(&mut a, "joined").await;
    drop(a);
    let (mut again, _) = connect_async(&at).await.expect("served");
    let join = json!({"type": "join", "room": "r", "token": token("a", true, false), "resume": me["resume"]});
    say(&mut again, &join).await;
    assert_eq!(hear(&mut again, "joined").await["participant"], me["participant"]);
}

#[tokio::test]
async fn who_does_not_join_or_says_too_much_is_hung_up_on() {
    let at = served().await;
    for first in [json!({"type": "ping"}), json!({"type": "join", "room": "r", "token": "x"}), json!("nonsense")] {
        let (mut socket, _) = connect_async(&at).await.expect("served");
        say(&mut socket, &first).await;
        assert!(hear(&mut socket, "error").await["reason"].as_str().is_some_and(|reason| reason.len() > 10));
        assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    }
    let mut a = joined(&at, "a").await;
    let mut flood = Ok(());
    for _ in 0..2000 {
        flood = a.send(Message::text("{\"type\":\"ping\"}")).await;
        if flood.is_err() {
            break;
        }
    }
    let ended = async { while let Some(Ok(_)) = a.next().await {} };
    timeout(Duration::from_secs(10), ended).await.expect("it ends");
    let mut b = joined(&at, "b").await;
    hear(&mut b, "joined").await;
    drop(flood);
}
