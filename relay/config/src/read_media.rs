//! Values of `[media]` and `[recording]`.

use core::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use toml::de::{DeTable, DeValue};

use crate::limits;
use crate::media::MediaInterface;
use crate::read::{text, unicast};
use crate::reader::Wrong;

const INTERFACE_RIGHT: &str = "write an address, as in \"10.0.0.1\", an address with the one that SDP is to have, as in { address = \
     \"10.0.0.1\", advertised = \"203.0.113.7\" }, or a list of these";

/// A logical interface: its addresses, one of each family at most.
pub(crate) fn media_interface(name: &str, value: &DeValue<'_>) -> Result<(String, Vec<MediaInterface>), Wrong> {
    if name.is_empty() || name.len() > limits::MEDIA_NAME_MAX || !name.chars().all(|c| c.is_ascii_graphic()) {
        let right = format!("write a name of 1 to {} visible ASCII characters", limits::MEDIA_NAME_MAX);
        return Err(Wrong::new(format!("{name:?} cannot be said in a command"), right));
    }
    let list = match value {
        DeValue::Array(list) => list.iter().map(|item| one(name, item.get_ref())).collect::<Result<Vec<_>, _>>()?,
        one_value => vec![one(name, one_value)?],
    };
    for family in [true, false] {
        let of_family: Vec<_> = list.iter().filter(|interface| interface.address.is_ipv4() == family).collect();
        if let [first, second, ..] = of_family[..] {
            let what = format!("\"{}\" and \"{}\" are of one family", first.address, second.address);
            return Err(Wrong::new(what, "write one IPv4 and one IPv6 address at most, and others under other names"));
        }
    }
    if list.is_empty() { Err(Wrong::new("an empty list", INTERFACE_RIGHT)) } else { Ok((name.to_owned(), list)) }
}

fn one(name: &str, value: &DeValue<'_>) -> Result<MediaInterface, Wrong> {
    let (address, advertised) = match value {
        DeValue::Table(table) => both(table)?,
        plain => {
            let address = unicast(text(plain, INTERFACE_RIGHT)?, INTERFACE_RIGHT)?;
            (address, address)
        }
    };
    if address.is_ipv4() != advertised.is_ipv4() {
        return Err(Wrong::new(
            format!("\"{address}\" and \"{advertised}\" are of different families"),
            "write two IPv4 or two IPv6 addresses",
        ));
    }
    Ok(MediaInterface { name: name.to_owned(), address, advertised })
}

fn both(table: &DeTable<'_>) -> Result<(IpAddr, IpAddr), Wrong> {
    let (mut address, mut advertised) = (None, None);
    for (key, value) in table.iter() {
        let place = match key.get_ref().as_ref() {
            "address" => &mut address,
            "advertised" => &mut advertised,
            other => return Err(Wrong::new(format!("{other:?} is not known here"), "known here: address, advertised")),
        };
        *place = Some(unicast(text(value.get_ref(), INTERFACE_RIGHT)?, INTERFACE_RIGHT)?);
    }
    let address = address.ok_or_else(|| Wrong::new("an interface without an address", INTERFACE_RIGHT))?;
    Ok((address, advertised.unwrap_or(address)))
}

/// What stands before the key in its SubjectPublicKeyInfo (RFC 8410 section 4): X25519, 32 octets.
const X25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00];

/// An X25519 public key: the middle line of its PEM form, or its 32 octets, in base64.
pub(crate) fn public_key(value: &DeValue<'_>) -> Result<[u8; 32], Wrong> {
    let right = "write the line between the dashes that `openssl genpkey -algorithm X25519 -out private.pem` and \
                 `openssl pkey -in private.pem -pubout` print";
    let wrong = |what: &str| Wrong::new(what, right);
    let octets = STANDARD.decode(text(value, right)?.trim()).map_err(|_| wrong("not base64"))?;
    let key = octets.strip_prefix(&X25519[..]).unwrap_or(&octets);
    let key: [u8; 32] = key.try_into().map_err(|_| wrong("not an X25519 public key"))?;
    // The points of small order, with which every secret would be known, begin so or are refused when used.
    if key == [0; 32] { Err(wrong("a key of zeros")) } else { Ok(key) }
}
