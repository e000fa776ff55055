//! Answers.

use crate::bencode;
use crate::fields::Warnings;
use crate::json;
use crate::report::CallReport;
use crate::request::Form;
use crate::statistics::Statistics;
use crate::value::{Dictionary, Value};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To `ping`.
    Pong,
    /// Done.
    Ok(Box<Body>),
    /// Not done, and why.
    Error(String),
    /// Not done since there is too much to do, and why; for those who said that they know it.
    LoadLimit(String),
}

/// What is told besides `ok`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// `sdp`.
    pub sdp: Option<Vec<u8>>,
    /// `from-tags`: of whom there is a subscription.
    pub from_tags: Vec<String>,
    /// `to-tag`: of the subscriber.
    pub to_tag: Option<String>,
    /// `calls`.
    pub calls: Option<Vec<String>>,
    /// All that `query` tells.
    pub call: Option<CallReport>,
    /// `statistics`.
    pub statistics: Option<Statistics>,
}

impl Response {
    /// Done, with nothing to tell.
    #[must_use]
    pub fn ok() -> Self {
        Self::Ok(Box::default())
    }

    /// Whether it is an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The body of the answer, with `warnings` if it is `ok`.
    #[must_use]
    pub fn write(&self, form: Form, warnings: &Warnings) -> Vec<u8> {
        let value = self.value(warnings);
        let mut octets = Vec::with_capacity(1024);
        match form {
            Form::Bencode => bencode::write(&value, &mut octets),
            Form::Json => json::write(&value, &mut octets),
        }
        octets
    }

    fn value(&self, warnings: &Warnings) -> Value<'_> {
        let answer = Dictionary::default();
        match self {
            Self::Pong => answer.with("result", "pong"),
            Self::Error(reason) => answer.with("result", "error").with("error-reason", reason.as_str()),
            Self::LoadLimit(message) => answer.with("result", "load limit").with("message", message.as_str()),
            Self::Ok(body) => body.put(answer).with_some("warning", warnings.text()).with("result", "ok"),
        }
        .into()
    }
}

impl Body {
    fn put<'a>(&'a self, answer: Dictionary<'a>) -> Dictionary<'a> {
        let list = |list: &'a [String]| list.iter().map(String::as_str).collect::<Value<'a>>();
        let from_tags = (!self.from_tags.is_empty()).then(|| list(&self.from_tags));
        let answer = answer
            .with_some("sdp", self.sdp.as_deref())
            .with_some("from-tags", from_tags)
            .with_some("to-tag", self.to_tag.as_deref())
            .with_some("calls", self.calls.as_deref().map(list))
            .with_some("statistics", self.statistics.as_ref().map(Statistics::value));
        match &self.call {
            Some(call) => call.put(answer),
            None => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_with_ok_and_not_with_an_error() {
        let mut warnings = Warnings::default();
        warnings.add("this".to_owned());
        warnings.add("that".to_owned());
        warnings.add("this".to_owned());
        let json = |response: &Response| String::from_utf8(response.write(Form::Json, &warnings)).expect("UTF-8");
        assert_eq!(json(&Response::ok()), r#"{"warning":"this; that","result":"ok"}"#);
        assert_eq!(json(&Response::Error("no".to_owned())), r#"{"result":"error","error-reason":"no"}"#);
        let limit = Response::LoadLimit("full".to_owned());
        assert_eq!(json(&limit), r#"{"result":"load limit","message":"full"}"#);
    }

    #[test]
    fn statistics_have_the_names_of_rtpengine() {
        let statistics = Statistics { managed: 3, sessions: 1, duration_total_ms: 3000, ..Statistics::default() };
        let body = Body { statistics: Some(statistics), ..Body::default() };
        let answer = Response::Ok(Box::new(body)).write(Form::Bencode, &Warnings::default());
        let (answer, _) = bencode::read(&answer).expect("what is written can be read");
        let total = answer.get("statistics").and_then(|s| s.get("totalstatistics")).expect("there");
        assert_eq!(total.get("managedsessions"), Some(&Value::Integer(3)));
        assert_eq!(total.get("avgcallduration"), Some(&Value::from("1.500000")));
        let control = answer.get("statistics").and_then(|s| s.get("controlstatistics")).expect("there");
        assert_eq!(control.get("totaloffercount"), Some(&Value::Integer(0)));
    }
}
