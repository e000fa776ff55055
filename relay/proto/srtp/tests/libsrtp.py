"""libsrtp by its C interface: a second opinion on every octet.

Reads lines "SUITE DIRECTION KIND MKI KEY PACKET.." (hexadecimal; MKI may be "-"), one session each, and answers each with
its packets after protection or removal of it; "!STATUS" for one that is refused.
"""

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_int, c_uint, c_uint32, c_ulong, c_void_p, cast, create_string_buffer

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": ("srtp_crypto_policy_set_rtp_default", "srtp_crypto_policy_set_rtp_default"),
    "AES_CM_128_HMAC_SHA1_32": ("srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32", "srtp_crypto_policy_set_rtp_default"),
    "AES_256_CM_HMAC_SHA1_80": ("srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80",) * 2,
    "AES_256_CM_HMAC_SHA1_32": ("srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32",
                                "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"),
    "AEAD_AES_128_GCM": ("srtp_crypto_policy_set_aes_gcm_128_16_auth",) * 2,
    "AEAD_AES_256_GCM": ("srtp_crypto_policy_set_aes_gcm_256_16_auth",) * 2,
}
ANY_INBOUND, ANY_OUTBOUND = 2, 3


class Ssrc(Structure):
    _fields_ = [("kind", c_int), ("value", c_uint)]


class Crypto(Structure):
    _fields_ = [("cipher", c_uint32), ("cipher_key", c_int), ("auth", c_uint32), ("auth_key", c_int), ("tag", c_int),
                ("services", c_int)]


class MasterKey(Structure):
    _fields_ = [("key", c_void_p), ("mki", c_void_p), ("mki_size", c_uint)]


class Policy(Structure):
    _fields_ = [("ssrc", Ssrc), ("rtp", Crypto), ("rtcp", Crypto), ("key", c_void_p), ("keys", POINTER(POINTER(MasterKey))),
                ("key_count", c_ulong), ("ekt", c_void_p), ("window", c_ulong), ("repeat", c_int), ("extensions", c_void_p),
                ("extension_count", c_int), ("next", c_void_p)]


def session(library, suite, direction, mki, key):
    policy = Policy()
    policy.ssrc.kind = ANY_OUTBOUND if direction == "protect" else ANY_INBOUND
    for name, part in zip(SUITES[suite], (policy.rtp, policy.rtcp)):
        getattr(library, name)(byref(part))
    octets = create_string_buffer(key, len(key) + 64)
    policy.window = 128
    kept = [octets]
    if mki:
        identifier = create_string_buffer(mki, len(mki))
        master = MasterKey(cast(octets, c_void_p), cast(identifier, c_void_p), len(mki))
        masters = (POINTER(MasterKey) * 1)(ctypes.pointer(master))
        policy.keys, policy.key_count = masters, 1
        kept += [identifier, master, masters]
    else:
        policy.key = cast(octets, c_void_p)
    context = c_void_p()
    status = library.srtp_create(byref(context), byref(policy))
    if status:
        sys.exit(f"srtp_create: {status}")
    return context, kept


def convert(library, line):
    suite, direction, kind, mki, key, *packets = line.split()
    mki = b"" if mki == "-" else bytes.fromhex(mki)
    context, _kept = session(library, suite, direction, mki, bytes.fromhex(key))
    name = {"rtp": "srtp_{}_mki", "rtcp": "srtp_{}_rtcp_mki"}[kind].format(direction)
    for packet in map(bytes.fromhex, packets):
        buffer, length = create_string_buffer(packet, len(packet) + 256), c_int(len(packet))
        arguments = [context, buffer, byref(length), c_uint(bool(mki))]
        if direction == "protect":
            arguments.append(c_uint(0))
        status = getattr(library, name)(*arguments)
        yield f"!{status}" if status else buffer.raw[:length.value].hex()
    library.srtp_dealloc(context)


def main():
    library = ctypes.CDLL("libsrtp2.so.1")
    if status := library.srtp_init():
        sys.exit(f"srtp_init: {status}")
    for line in sys.stdin:
        print(" ".join(convert(library, line)), flush=True)


main()
