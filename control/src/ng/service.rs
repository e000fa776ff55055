//! What every message goes through: who may, was it here before, what does it say, what becomes of it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use ipnet::IpNet;
use raceway_ng::{Answers, Form, Request, Response, Seen, Verb, Warnings, limits, split};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::counters::{Counters, Dropped, Outcome};
use crate::link::{Command, Link, now};

/// Commands that are carried out at a time: more than a proxy has workers, and with the largest messages 64 MiB.
const COMMANDS_MAX: usize = 1024;

/// For a command to be carried out. Proxies give up after a second or so; what is done later is done all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers commands.
#[derive(Debug)]
pub struct Service {
    link: Link,
    allow: RwLock<Vec<IpNet>>,
    answers: Mutex<Answers>,
    places: Arc<Semaphore>,
    counters: Counters,
}

impl Service {
    /// Answers those in `allow`.
    #[must_use]
    pub fn new(link: Link, allow: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            link,
            allow: RwLock::new(allow),
            answers: Mutex::default(),
            places: Arc::new(Semaphore::new(COMMANDS_MAX)),
            counters: Counters::default(),
        })
    }

    /// From now on answers those in `allow`.
    pub fn set_allow(&self, allow: Vec<IpNet>) {
        *self.allow.write().expect("nobody panics with it") = allow;
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether `source` is answered; counted if not.
    pub(super) fn admits(&self, source: IpAddr) -> bool {
        let admitted = self.is_admitted(source);
        if !admitted {
            self.let_go(Dropped::NotAllowed);
        }
        admitted
    }

    /// The same, not counted.
    pub(super) fn is_admitted(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.allow.read().expect("nobody panics with it").iter().any(|net| net.contains(&source))
    }

    pub(super) fn let_go(&self, why: Dropped) {
        self.counters.count_dropped(why);
    }

    /// Answers a message that begins with a cookie; none if it gets no answer. What was begun is carried out to its end
    /// also when nobody waits for this any more.
    pub(super) async fn answer(self: &Arc<Self>, source: IpAddr, message: Vec<u8>) -> Option<Vec<u8>> {
        let Ok((cookie, body)) = split(&message) else {
            self.let_go(Dropped::NoCookie);
            return None;
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.let_go(Dropped::Busy);
            return None;
        };
        let ticket = match self.answers.lock().expect("nobody panics with it").begin(now(), source, cookie, body) {
            Seen::New(ticket) => ticket,
            Seen::InProgress => {
                self.let_go(Dropped::InProgress);
                return None;
            }
            Seen::Answered(answer) => {
                self.counters.count_repeated();
                return Some(answer.to_vec());
            }
        };
        let service = Arc::clone(self);
        let length = cookie.len();
        let done = tokio::spawn(async move {
            let mut answer = message[..=length].to_vec();
            answer.extend(service.carry_out(source, &message[length + 1..]).await);
            service.answers.lock().expect("nobody panics with it").finish(&ticket, &answer);
            drop(place);
            answer
        });
        done.await.ok()
    }

    /// Answers a body without a cookie.
    pub(super) async fn answer_plain(self: &Arc<Self>, source: IpAddr, body: Vec<u8>) -> (Form, Vec<u8>) {
        let service = Arc::clone(self);
        let form = Request::read(&body[..body.len().min(1)]).form;
        let done = tokio::spawn(async move { service.carry_out(source, &body).await });
        (form, done.await.unwrap_or_default())
    }

    async fn carry_out(&self, source: IpAddr, body: &[u8]) -> Vec<u8> {
        let begun = now();
        let Request { form, verb, command, mut warnings, supports_load_limit } = Request::read(body);
        let mut response = match command {
            Ok(command) => self.ask(command, &mut warnings).await,
            Err(refusal) => Response::Error(refusal.to_string()),
        };
        match &mut response {
            Response::LoadLimit(reason) if !supports_load_limit => {
                response = Response::Error(std::mem::take(reason));
            }
            Response::Ok(body) => {
                if let Some(statistics) = &mut body.statistics {
                    statistics.proxies = self.counters.proxies();
                }
            }
            Response::LoadLimit(_) | Response::Pong | Response::Error(_) => {}
        }
        let mut answer = response.write(form, &warnings);
        if answer.len() > limits::MESSAGE_MAX - limits::COOKIE_MAX {
            let reason = format!("the answer has {} octets, which no datagram carries: ask for less", answer.len());
            response = Response::Error(reason);
            answer = response.write(form, &warnings);
        }
        self.finish(source, verb, &response);
        self.counters.latency().observe(now().since(begun).as_secs_f64());
        answer
    }

    async fn ask(&self, command: raceway_ng::Command, warnings: &mut Warnings) -> Response {
        let command = Box::new(command);
        let asked = self.link.ask(|reply| Command::Ng { command, reply });
        match timeout(PATIENCE, asked).await {
            Ok(Ok(outcome)) => {
                outcome.warnings.into_iter().for_each(|warning| warnings.add(warning));
                outcome.response
            }
            Ok(Err(gone)) => Response::Error(gone.to_string()),
            Err(_) => Response::Error(format!("raceway-relay did not answer within {} s", PATIENCE.as_secs())),
        }
    }

    fn finish(&self, source: IpAddr, verb: Verb, response: &Response) {
        let outcome = match response {
            Response::Pong | Response::Ok(_) => Outcome::Ok,
            Response::Error(reason) => {
                tracing::debug!(command = verb.as_str(), reason, "a command is refused");
                Outcome::Error
            }
            Response::LoadLimit(_) => Outcome::LoadLimit,
        };
        self.counters.count(source.to_canonical(), verb, outcome);
    }
}
