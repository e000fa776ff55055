"""STUN and TURN messages (RFC 8489, RFC 8656), as far as a test client needs them."""

import hashlib
import hmac
import ipaddress
import os
import struct
import zlib

MAGIC = 0x2112A442

BINDING, ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = 0x001, 0x003, 0x004, 0x006, 0x007, 0x008, 0x009
REQUEST, INDICATION, SUCCESS, ERROR = 0x000, 0x010, 0x100, 0x110

USERNAME, MESSAGE_INTEGRITY, ERROR_CODE = 0x0006, 0x0008, 0x0009
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA_ATTRIBUTE = 0x000C, 0x000D, 0x0012, 0x0013
REALM, NONCE, XOR_RELAYED_ADDRESS, REQUESTED_ADDRESS_FAMILY = 0x0014, 0x0015, 0x0016, 0x0017
REQUESTED_TRANSPORT, XOR_MAPPED_ADDRESS = 0x0019, 0x0020
ADDITIONAL_ADDRESS_FAMILY, ICMP, FINGERPRINT = 0x8000, 0x8004, 0x8028


class Malformed(ValueError):
    """Octets that are not a STUN message."""


class Message:
    """A message: method, class, transaction and attributes in order."""

    def __init__(self, method, kind, transaction=None, attributes=()):
        self.method, self.kind = method, kind
        self.transaction = transaction or os.urandom(12)
        self.attributes = list(attributes)

    def add(self, attribute, value):
        self.attributes.append((attribute, value))
        return self

    def get(self, attribute):
        """Value of the first such attribute, or None."""
        return next((value for kind, value in self.attributes if kind == attribute), None)

    def address(self, attribute):
        """An XOR address attribute as (host, port), or None."""
        value = self.get(attribute)
        return value and unxor_address(value, self.transaction)

    def add_address(self, attribute, host, port):
        return self.add(attribute, xor_address(host, port, self.transaction))

    @property
    def error(self):
        """The error code, or None."""
        value = self.get(ERROR_CODE)
        return value and (value[2] & 7) * 100 + value[3]

    def encode(self, key=None, fingerprint=False):
        """The octets; with `key`, MESSAGE-INTEGRITY closes them."""
        body = b"".join(attribute(kind, value) for kind, value in self.attributes)
        if key is not None:
            text = self._header(len(body) + 24) + body
            body += attribute(MESSAGE_INTEGRITY, hmac.digest(key, text, hashlib.sha1))
        if fingerprint:
            text = self._header(len(body) + 8) + body
            body += attribute(FINGERPRINT, struct.pack("!I", zlib.crc32(text) ^ 0x5354554E))
        return self._header(len(body)) + body

    def _header(self, length):
        return struct.pack("!HHI", message_type(self.method, self.kind), length, MAGIC) + self.transaction


def message_type(method, kind):
    """Method bits around the two class bits (RFC 8489 section 5)."""
    return (method & 0xF80) << 2 | (method & 0x70) << 1 | method & 0xF | kind


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def decode(octets):
    """Octets to a `Message`."""
    if len(octets) < 20:
        raise Malformed("shorter than a header")
    bits, length, magic = struct.unpack_from("!HHI", octets)
    if bits >> 14 or magic != MAGIC or length + 20 != len(octets) or length % 4:
        raise Malformed("header")
    method = (bits & 0x3E00) >> 2 | (bits & 0xE0) >> 1 | bits & 0xF
    message = Message(method, bits & 0x110, octets[8:20])
    at = 20
    while at < len(octets):
        kind, size = struct.unpack_from("!HH", octets, at)
        if at + 4 + size > len(octets):
            raise Malformed("attribute beyond the message")
        message.add(kind, octets[at + 4 : at + 4 + size])
        at += 4 + size + -size % 4
    return message


def xor_address(host, port, transaction):
    packed = ipaddress.ip_address(host).packed
    mask = struct.pack("!I", MAGIC) + transaction
    family = 1 if len(packed) == 4 else 2
    return struct.pack("!BBH", 0, family, port ^ MAGIC >> 16) + bytes(a ^ b for a, b in zip(packed, mask))


def unxor_address(value, transaction):
    mask = struct.pack("!I", MAGIC) + transaction
    (port,) = struct.unpack_from("!H", value, 2)
    host = ipaddress.ip_address(bytes(a ^ b for a, b in zip(value[4:], mask)))
    return str(host), port ^ MAGIC >> 16


def long_term_key(user, realm, password):
    """MD5(username:realm:password), RFC 8489 section 9.2.2."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode()).digest()


def channel_data(number, payload):
    """ChannelData over UDP: no padding (RFC 8656 section 12.5)."""
    return struct.pack("!HH", number, len(payload)) + payload
