//! Commands of SIP proxies, carried out.

use raceway_ng::{Body, Command, Response, Statistics};
use tokio::sync::oneshot::Sender;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub response: Response,
    /// What was not done of what was asked.
    pub warnings: Vec<String>,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self { response, warnings: Vec::new() }
    }
}

/// Where commands are carried out.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Commands that came.
    uptime_from: Option<std::time::Instant>,
}

impl Desk {
    /// Carries out a command; `ready` says whether the relay is there and knows all that there is.
    pub(crate) fn handle_command(&mut self, ready: bool, command: &Command, reply: Sender<Outcome>) {
        let from = *self.uptime_from.get_or_insert_with(std::time::Instant::now);
        let response = match command {
            Command::Ping if ready => Response::Pong,
            Command::List { .. } => body(Body { calls: Some(Vec::new()), ..Body::default() }),
            Command::Statistics => {
                let statistics = Statistics { uptime_s: from.elapsed().as_secs(), ..Statistics::default() };
                body(Body { statistics: Some(statistics), ..Body::default() })
            }
            _ if !ready => Response::Error("raceway-relay is not there".to_owned()),
            other => Response::Error(format!("command \"{}\" is not supported yet", other.verb().as_str())),
        };
        // Whoever asked may have given up.
        let _ = reply.send(response.into());
    }
}

fn body(body: Body) -> Response {
    Response::Ok(Box::new(body))
}
