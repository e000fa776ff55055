//! Published vectors, which are of single steps, and rules that need a look inside.

mod packets;
mod rfc3711;
mod rfc6188;
mod rfc7714;

/// Octets out of hexadecimal digits; anything else between them does not count.
pub(crate) fn hex<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("as many as were asked for")
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
