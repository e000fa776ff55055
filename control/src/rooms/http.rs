//! What rooms are reached by: WHIP, WHEP, the rooms API, the meeting page and its WebSocket.

use std::fmt;
use std::sync::{Arc, RwLock};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method as Verb, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, delete, get, put};
use raceway_rooms::meetings::{Created, SessionName};
use raceway_rooms::{
    Grants, IceServer, Keys, Method, ParticipantId, Properties, Refusal, Resource, Role, RoomName, SDP_FRAGMENT_TYPE,
    SDP_TYPE, TrackId, limits,
};
use raceway_units::UnixTime;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::sync::oneshot::{self, Sender};

use super::hall::RoomCommand;
use super::socket;
use crate::link::Gone;

/// Takes commands to the thread that owns the rooms.
pub type Commands = Box<dyn Fn(RoomCommand) -> Result<(), Gone> + Send + Sync>;

/// Reads the wall clock.
pub type Clock = fn() -> UnixTime;

/// WebSockets at a time.
const SOCKETS_MAX: usize = 10_000;

/// What clients see of the node.
pub struct Front {
    commands: Commands,
    clock: Clock,
    keys: RwLock<Keys>,
    helpers: RwLock<Vec<IceServer>>,
    pub(super) sockets: Arc<Semaphore>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Front {
    /// Lets in whom `keys` let in.
    #[must_use]
    pub fn new(commands: Commands, clock: Clock, keys: Keys, helpers: Vec<IceServer>) -> Arc<Self> {
        let (keys, helpers) = (RwLock::new(keys), RwLock::new(helpers));
        Arc::new(Self { commands, clock, keys, helpers, sockets: Arc::new(Semaphore::new(SOCKETS_MAX)) })
    }

    /// From now on these.
    pub fn reconfigure(&self, keys: Keys, helpers: Vec<IceServer>) {
        *self.keys.write().expect("nobody panics with it") = keys;
        *self.helpers.write().expect("nobody panics with it") = helpers;
    }

    /// What a token grants.
    pub(super) fn verify(&self, token: &str) -> Result<Grants, Refusal> {
        let keys = self.keys.read().expect("nobody panics with it");
        Ok(keys.verify(token, (self.clock)())?)
    }

    /// What the bearer of a request may do.
    fn bearer(&self, headers: &HeaderMap) -> Result<Grants, Refusal> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = value.and_then(|value| value.split_once(' ')).ok_or(Refusal::NoToken)?;
        if scheme.eq_ignore_ascii_case("bearer") { self.verify(token.trim()) } else { Err(Refusal::NoToken) }
    }

    pub(super) fn tell(&self, command: RoomCommand) -> Result<(), Refusal> {
        (self.commands)(command).map_err(|_| Refusal::Later("raceway-control is ending"))
    }

    pub(super) async fn ask<T>(
        &self,
        make: impl FnOnce(Sender<Result<T, Refusal>>) -> RoomCommand,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.tell(make(reply))?;
        answer.await.unwrap_or(Err(Refusal::Later("raceway-control is ending")))
    }
}

/// All of it.
pub fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/whip/{room}", any(whip))
        .route("/whep/{room}", any(whep))
        .route("/session/{name}", any(session))
        .route("/rooms", get(list))
        .route("/rooms/{room}", put(make).get(show).delete(end))
        .route("/rooms/{room}/participants/{id}", delete(remove))
        .route("/rooms/{room}/tracks/{id}", put(mute))
        .route("/meet", get(page))
        .route("/meet/{room}", get(page))
        .route("/meet/page/meet.js", get(script))
        .route("/meet/page/meet.css", get(style))
        .route("/meet/socket", get(socket::open))
        .layer(DefaultBodyLimit::max(limits::SDP_MAX + 1))
        .with_state(front)
}

/// A refusal, as RFC 9457 has it, with the word that programs compare.
pub(super) struct Refused(pub Refusal);

#[derive(Serialize)]
struct Problem<'a> {
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = status.canonical_reason().unwrap_or("refused");
        let problem = Problem { title, status: status.as_u16(), code: refusal.code(), detail: &refusal.to_string() };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match refusal {
            Refusal::NoToken | Refusal::Token(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Refusal::Method(methods) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            Refusal::Full { .. } | Refusal::Later(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        allow_other_origins(headers, None);
        response
    }
}

/// Pages of any origin may ask: what they may do is in their token, and no browser adds one by itself.
fn allow_other_origins(headers: &mut HeaderMap, methods: Option<&'static str>) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Location, ETag, Link"));
    if let Some(methods) = methods {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        let asked = HeaderValue::from_static("Authorization, Content-Type, If-Match");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

fn method_of(verb: &Verb) -> Method {
    match *verb {
        Verb::OPTIONS => Method::Options,
        Verb::POST => Method::Post,
        Verb::PATCH => Method::Patch,
        Verb::DELETE => Method::Delete,
        _ => Method::Other,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn options(resource: Resource) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow_other_origins(headers, Some(resource.methods()));
    headers.insert(header::ALLOW, HeaderValue::from_static(resource.methods()));
    let (name, kind) = match resource {
        Resource::Endpoint => ("accept-post", SDP_TYPE),
        Resource::Session => ("accept-patch", SDP_FRAGMENT_TYPE),
    };
    headers.insert(name, HeaderValue::from_static(kind));
    response
}

async fn whip(
    State(front): State<Arc<Front>>,
    Path(room): Path<String>,
    verb: Verb,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    endpoint(&front, Role::Publish, &room, &verb, &headers, &body).await
}

async fn whep(
    State(front): State<Arc<Front>>,
    Path(room): Path<String>,
    verb: Verb,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    endpoint(&front, Role::Play, &room, &verb, &headers, &body).await
}

async fn endpoint(
    front: &Front,
    role: Role,
    room: &str,
    verb: &Verb,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Refused> {
    let method = method_of(verb);
    Resource::Endpoint.check(method, text(headers, &header::CONTENT_TYPE), body.len())?;
    if method == Method::Options {
        return Ok(options(Resource::Endpoint));
    }
    let grants = front.bearer(headers)?;
    let room = RoomName::new(room).map_err(Refusal::from)?;
    let body = body.to_vec();
    let created = front.ask(|reply| RoomCommand::Create { grants, room, role, body, reply }).await?;
    Ok(front.created(&created))
}

impl Front {
    /// 201 (RFC 9725 section 4.2).
    fn created(&self, created: &Created) -> Response {
        let mut response = (StatusCode::CREATED, created.sdp.clone()).into_response();
        let headers = response.headers_mut();
        allow_other_origins(headers, None);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP_TYPE));
        let location = format!("/session/{}", created.session);
        for (name, value) in [(header::LOCATION, location), (header::ETAG, created.tag.to_string())] {
            headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
        }
        for helper in self.helpers.read().expect("nobody panics with it").iter() {
            if let Ok(link) = HeaderValue::from_str(&helper.link()) {
                headers.append(header::LINK, link);
            }
        }
        response
    }
}

async fn session(
    State(front): State<Arc<Front>>,
    Path(name): Path<String>,
    verb: Verb,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let method = method_of(&verb);
    Resource::Session.check(method, text(&headers, &header::CONTENT_TYPE), body.len())?;
    if method == Method::Options {
        return Ok(options(Resource::Session));
    }
    let grants = front.bearer(&headers)?;
    let session = SessionName::of(&name);
    let mut response = if method == Method::Delete {
        front.ask(|reply| RoomCommand::Delete { grants, session, reply }).await?;
        StatusCode::OK.into_response()
    } else {
        let if_match = text(&headers, &header::IF_MATCH).map(str::to_owned);
        let body = body.to_vec();
        let change = |reply| RoomCommand::Change { grants, session, if_match, body, reply };
        match front.ask(change).await? {
            None => StatusCode::NO_CONTENT.into_response(),
            Some((tag, fragment)) => {
                let kind = (header::CONTENT_TYPE, SDP_FRAGMENT_TYPE.to_owned());
                (StatusCode::OK, [kind, (header::ETAG, tag.to_string())], fragment).into_response()
            }
        }
    };
    allow_other_origins(response.headers_mut(), None);
    Ok(response)
}

/// How a room is to be.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    metadata: String,
    participants_max: Option<usize>,
}

/// Whether a track is to be silent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Muted {
    muted: bool,
}

fn read<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Message(error.to_string()))
}

fn named(room: &str) -> Result<RoomName, Refusal> {
    Ok(RoomName::new(room)?)
}

fn number(text: &str, what: &'static str) -> Result<u32, Refusal> {
    text.parse().map_err(|_| Refusal::Gone(what))
}

async fn list(State(front): State<Arc<Front>>, headers: HeaderMap) -> Result<Response, Refused> {
    let grants = Some(front.bearer(&headers)?);
    let (reply, answer) = oneshot::channel();
    front.tell(RoomCommand::List { grants, room: None, reply })?;
    Ok(Json(answer.await.unwrap_or_default()).into_response())
}

async fn show(
    State(front): State<Arc<Front>>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (grants, room) = (front.bearer(&headers)?, named(&room)?);
    if !(grants.admin && grants.covers(&room)) {
        return Err(Refusal::NoGrant { what: "moderate", room }.into());
    }
    let (reply, answer) = oneshot::channel();
    front.tell(RoomCommand::List { grants: Some(grants), room: Some(room.clone()), reply })?;
    let found = answer.await.unwrap_or_default().into_iter().next();
    Ok(Json(found.ok_or(Refusal::NoRoom(room))?).into_response())
}

async fn make(
    State(front): State<Arc<Front>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let (grants, room) = (front.bearer(&headers)?, named(&room)?);
    let wanted: Wanted = if body.is_empty() { Wanted::default() } else { read(&body)? };
    let properties = Properties { metadata: wanted.metadata, participants_max: wanted.participants_max };
    front.ask(|reply| RoomCommand::Make { grants, room, properties, reply }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn end(
    State(front): State<Arc<Front>>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (grants, room) = (front.bearer(&headers)?, named(&room)?);
    front.ask(|reply| RoomCommand::End { grants, room, reply }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn remove(
    State(front): State<Arc<Front>>,
    Path((room, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (grants, room) = (front.bearer(&headers)?, named(&room)?);
    let participant = ParticipantId(number(&id, "participant")?);
    front.ask(|reply| RoomCommand::Remove { grants, room, participant, reply }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn mute(
    State(front): State<Arc<Front>>,
    Path((room, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let (grants, room) = (front.bearer(&headers)?, named(&room)?);
    let (track, Muted { muted }) = (TrackId(number(&id, "track")?), read(&body)?);
    front.ask(|reply| RoomCommand::Mute { grants, room, track, muted, reply }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a page may load: only what comes from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

async fn page() -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "no-referrer")];
    (policy, Html(include_str!("page/meet.html"))).into_response()
}

async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page/meet.js")).into_response()
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page/meet.css")).into_response()
}
