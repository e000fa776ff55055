//! Fuzz entry.

use crate::fields::Warnings;
use crate::request::{Request, frame, split};
use crate::response::Response;
use crate::{bencode, json, limits};

/// A datagram, a stream, and each reader by itself.
///
/// Whatever comes: what was read is within the limits and is read again as the same from what is written of it; a message
/// on a stream is the one of a datagram; an answer can be given in the form of the request.
pub fn fuzz(data: &[u8]) {
    if let Ok((value, length)) = bencode::read(data) {
        let mut written = Vec::new();
        bencode::write(&value, &mut written);
        assert_eq!(written, data[..length], "bencode has one spelling");
    }
    if let Ok(value) = json::read(data) {
        let mut written = Vec::new();
        json::write(&value, &mut written);
        assert_eq!(json::read(&written).expect("what is written can be read"), value);
    }
    if let Ok(Some(length)) = frame(data) {
        assert!(length <= data.len() && length <= limits::MESSAGE_MAX);
        split(&data[..length]).expect("a message on a stream has a cookie");
    }
    let body = split(data).map_or(data, |(_, body)| body);
    let request = Request::read(body);
    let response = match &request.command {
        Ok(command) => {
            assert_eq!(command.verb(), request.verb);
            Response::ok()
        }
        Err(refusal) => Response::Error(refusal.to_string()),
    };
    let answer = response.write(request.form, &request.warnings);
    assert!(answer.len() < 64 << 10, "{} octets", answer.len());
    assert!(Request::read(&answer).command.is_err(), "an answer is no command");
    assert!(Response::Pong.write(request.form, &Warnings::default()).len() < 64);
}
