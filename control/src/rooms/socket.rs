//! The WebSocket of a member of a meeting.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use raceway_rooms::signal::{FromClient, FromServer};
use raceway_rooms::{ParticipantId, Refusal, limits};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::hall::{MESSAGES_MAX, RoomCommand};
use super::http::{Front, Refused};

/// For the first message.
const JOIN_MAX: Duration = Duration::from_secs(10);

/// Between questions whether the client is still there.
const PING_EVERY: Duration = Duration::from_secs(15);

/// Without a word, and without an answer to three questions, it is not.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// For a message to go out: a client that does not read is not waited for.
const SEND_MAX: Duration = Duration::from_secs(5);

/// Messages of a client in a second, and at once: a page says a few for each track that it begins to show.
const MESSAGES_PER_SECOND: u32 = 50;
const MESSAGES_BURST: u32 = 250;

/// What a client gets when it says more.
const TOO_FAST: &str = "more than 50 messages a second";

pub(super) async fn open(State(front): State<Arc<Front>>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = Arc::clone(&front.sockets).try_acquire_owned() else {
        return Refused(Refusal::Later("too many WebSockets at a time on this node")).into_response();
    };
    let upgrade = upgrade.max_message_size(limits::MESSAGE_MAX).max_frame_size(limits::MESSAGE_MAX);
    upgrade.on_upgrade(async move |socket| {
        converse(&front, socket).await;
        drop(place);
    })
}

/// From the first message to the last.
async fn converse(front: &Front, mut socket: WebSocket) {
    let joined = timeout(JOIN_MAX, join(front, &mut socket)).await;
    let outcome = joined.unwrap_or(Err(Refusal::Message("nobody has joined within 10 s".to_owned())));
    match outcome {
        Ok((id, inbox, outbox)) => {
            let why = serve(front, &mut socket, id, inbox).await;
            let _ = front.tell(RoomCommand::Gone { from: id, socket: outbox });
            hang_up(socket, close_code::NORMAL, why).await;
        }
        Err(refusal) => {
            let reason = refusal.to_string();
            let error = FromServer::Error { code: refusal.code(), reason: &reason }.write();
            let _ = timeout(SEND_MAX, socket.send(Message::text(error))).await;
            hang_up(socket, close_code::POLICY, refusal.code()).await;
        }
    }
}

async fn hang_up(mut socket: WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    let _ = timeout(SEND_MAX, socket.send(Message::Close(Some(frame)))).await;
}

type Joined = (ParticipantId, mpsc::Receiver<String>, mpsc::Sender<String>);

async fn join(front: &Front, socket: &mut WebSocket) -> Result<Joined, Refusal> {
    let first = loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(Refusal::Message("the first message is a join".to_owned())),
        }
    };
    let FromClient::Join { room, token, name, resume } = FromClient::read(&first)? else {
        return Err(Refusal::Message("the first message is a join".to_owned()));
    };
    let grants = front.verify(&token)?;
    let (outbox, inbox) = mpsc::channel(MESSAGES_MAX);
    let to = outbox.clone();
    let id = front.ask(|reply| RoomCommand::Join { grants, room, name, resume, socket: to, reply }).await?;
    Ok((id, inbox, outbox))
}

/// Carries messages both ways; why it ends.
async fn serve(
    front: &Front,
    socket: &mut WebSocket,
    id: ParticipantId,
    mut inbox: mpsc::Receiver<String>,
) -> &'static str {
    let mut questions = interval(PING_EVERY);
    questions.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_at = Instant::now();
    let mut allowance = Allowance { left: MESSAGES_BURST, at: Instant::now() };
    loop {
        tokio::select! {
            // Nothing comes any more when another socket has taken over, or the machine has hung up.
            told = inbox.recv() => {
                let Some(text) = told else { return "hung up" };
                if !matches!(timeout(SEND_MAX, socket.send(Message::text(text))).await, Ok(Ok(()))) {
                    return "does not read";
                }
            }
            said = socket.recv() => {
                heard_at = Instant::now();
                match said {
                    Some(Ok(Message::Text(_))) if !allowance.takes(heard_at) => return TOO_FAST,
                    Some(Ok(Message::Text(text))) => {
                        if front.tell(RoomCommand::Say { from: id, text: text.to_string() }).is_err() {
                            return "ending";
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => return "only text is taken",
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return "closed",
                }
            }
            _ = questions.tick() => {
                if heard_at.elapsed() > SILENCE_MAX {
                    return "silent";
                }
                if !matches!(timeout(SEND_MAX, socket.send(Message::Ping(Vec::new().into()))).await, Ok(Ok(()))) {
                    return "does not read";
                }
            }
        }
    }
}

/// Messages that may still come.
struct Allowance {
    left: u32,
    at: Instant,
}

impl Allowance {
    fn takes(&mut self, now: Instant) -> bool {
        let earned = (now.duration_since(self.at).as_millis() as u64 * u64::from(MESSAGES_PER_SECOND) / 1000) as u32;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(MESSAGES_BURST);
            self.at = now;
        }
        let takes = self.left > 0;
        self.left -= u32::from(takes);
        takes
    }
}
