//! Messages of rtpengine's ng control protocol: octets in, typed commands out, and answers the other way.
//!
//! A datagram is a cookie, a space and a dictionary in bencode or JSON ([`split`], [`Request::read`]); on a stream the
//! dictionary says where it ends ([`frame`]). The answer ([`Response::write`]) is in the same form behind the same cookie.
//! [`Answers`] remembers those, for requests that come again.
//!
//! Source: rtpengine's `docs/ng_control_protocol.md`; names and spellings beyond it from its `daemon/call_flags.c`. Each key
//! and flag stands in a table ([`table`]) with what becomes of it. What is not carried out is told in `warning`.

mod answers;
pub mod bencode;
mod command;
mod entry;
mod fields;
mod flags;
mod fuzz;
pub mod json;
mod keys;
pub mod limits;
mod malformed;
pub mod options;
mod refusal;
mod report;
mod request;
mod response;
mod rtpp;
mod statistics;
pub mod table;
mod value;

pub use answers::{Answers, Seen, Ticket};
pub use command::{
    All, Answer, Change, Command, Connect, Delete, NOT_SUPPORTED, Offer, Query, Record, Recording, SubscribeRequest,
    Toggle, Unsubscribe, Verb,
};
pub use entry::{Entry, Fate, Place};
pub use fields::Warnings;
pub use fuzz::fuzz;
pub use malformed::{Malformed, Rule};
pub use options::Options;
pub use refusal::Refusal;
pub use report::{CallReport, MediaReport, PartyReport, Quality, Sample, StreamReport, Subscription, Traffic};
pub use request::{Form, NoCookie, Request, StreamError, frame, split};
pub use response::{Body, Response};
pub use statistics::{Proxy, Statistics};
pub use value::{Dictionary, Value};
