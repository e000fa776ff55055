"""Parties of a call that send and receive a sound: plain ones, and those with SRTP of FFmpeg or of libsrtp (GStreamer).

The programs send from one port and receive at another, so calls with them must not learn addresses.
"""

import base64
import itertools
import os
import random
import struct
import threading
import time

from .media import Peer

OCTETS = 160  # 20 ms of G.711
SECONDS = 4
RATE = 8000
_ports = itertools.count(40000, 4)

# Octets of key and salt, and how GStreamer says it: cipher of both, authentication of RTP and of RTCP.
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (30, "aes-128-icm", "hmac-sha1-80", "hmac-sha1-80"),
    "AES_CM_128_HMAC_SHA1_32": (30, "aes-128-icm", "hmac-sha1-32", "hmac-sha1-80"),
    "AES_256_CM_HMAC_SHA1_80": (46, "aes-256-icm", "hmac-sha1-80", "hmac-sha1-80"),
    "AES_256_CM_HMAC_SHA1_32": (46, "aes-256-icm", "hmac-sha1-32", "hmac-sha1-80"),
    "AEAD_AES_128_GCM": (28, "aes-128-gcm", "null", "null"),
    "AEAD_AES_256_GCM": (44, "aes-256-gcm", "null", "null"),
}


def sound(seed):
    """A sound that is like no other, in octets of G.711."""
    return random.Random(seed).randbytes(SECONDS * RATE)


def crypto(suite, key, tag=1):
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(key).decode()}"


def crypto_lines(text):
    """Tag, suite and key parameters of each crypto attribute of an SDP."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [line.removeprefix("a=crypto:").split()[:3] for line in lines if line.startswith("a=crypto:")]


def key_in(text, suite):
    """Key and salt of the crypto attribute of this suite in an SDP."""
    text = next(parameters for _, name, parameters in crypto_lines(text) if name == suite)
    text = text.removeprefix("inline:").split("|")[0]
    key = base64.b64decode(text + "=" * (-len(text) % 4))
    assert len(key) == SUITES[suite][0], len(key)
    return key


class Plain:
    """A party without SRTP."""

    profile = "RTP/AVP"

    def __init__(self, world, namespace, host, seed):
        self.host, self.port, self.sound, self.seed = host, next(_ports), sound(seed), seed
        self._rtp = world.use(Peer(namespace.udp(host, self.port)))
        self._rtcp = world.use(Peer(namespace.udp(host, self.port + 1)))
        self.payloads, self.types, self.reports = {}, set(), []
        self._rtp.on_data = self._heard
        self._rtcp.on_data = lambda arrival, source, octets: self.reports.append(octets)

    def _heard(self, arrival, source, octets):
        if octets[0] >> 6 == 2:
            self.types.add(octets[1] & 0x7F)
            self.payloads.setdefault(struct.unpack_from("!H", octets, 2)[0], octets[12:])

    def lines(self, offered=None):
        """Attributes of its SDP."""
        return ()

    def listen(self, text, ssrc):
        """Does so anyway."""

    def speak(self, to):
        """Sends the sound, at its own pace."""
        def run():
            due = time.monotonic()
            for number, at in enumerate(range(0, len(self.sound), OCTETS)):
                header = struct.pack("!BBHII", 0x80, 0, number, at, self.seed)
                self._rtp.sock.sendto(header + self.sound[at:at + OCTETS], to)
                due += OCTETS / RATE
                time.sleep(max(0.0, due - time.monotonic()))
        threading.Thread(target=run, daemon=True).start()

    def heard(self):
        first = min(self.payloads, default=0)
        # The first number may be anything, and the numbers may turn.
        order = sorted(self.payloads, key=lambda number: (number - first + 0x8000) & 0xFFFF)
        return b"".join(self.payloads[number] for number in order)


class Secure:
    """A party whose SRTP is done by a program."""

    profile = "RTP/SAVP"

    def __init__(self, world, namespace, host, seed, suite):
        self.world, self.namespace, self.host, self.suite, self.seed = world, namespace, host, suite, seed
        self.port, self.sound = next(_ports), sound(seed)
        self.key = os.urandom(SUITES[suite][0])
        self.name = f"{type(self).__name__.lower()}-{self.port}"
        self.spoken, self.got = world.directory / f"{self.name}.spoken", world.directory / f"{self.name}.heard"
        self.spoken.write_bytes(self.sound)

    def lines(self, offered=None):
        """Attributes of its offer, or of its answer to an offer."""
        if offered is None:
            return (crypto(self.suite, self.key),)
        tag = next(tag for tag, suite, _ in crypto_lines(offered) if suite == self.suite)
        return (crypto(self.suite, self.key, tag),)

    def start(self, what, *command):
        return self.world.start(f"{self.name}-{what}", self.namespace.command(*command))

    def heard(self):
        return self.got.read_bytes() if self.got.exists() else b""


class FFmpeg(Secure):
    """FFmpeg has SRTP of its own, with AES-128 in counter mode."""

    def listen(self, text, ssrc):
        path = self.world.directory / f"{self.name}.sdp"
        path.write_text("\r\n".join([
            "v=0", f"o=- 1 1 IN IP4 {self.host}", "s=-", f"c=IN IP4 {self.host}", "t=0 0",
            f"m=audio {self.port} RTP/SAVP 0", "a=rtpmap:0 PCMU/8000", crypto(self.suite, key_in(text, self.suite)), ""]))
        self.start("listens", "ffmpeg", "-nostdin", "-hide_banner", "-protocol_whitelist", "file,crypto,rtp,srtp,udp",
                   "-i", path, "-c:a", "copy", "-f", "mulaw", "-flush_packets", "1", self.got)

    def speak(self, to):
        key = base64.b64encode(self.key).decode()
        url = f"srtp://{to[0]}:{to[1]}?localrtpport={self.port + 2}&pkt_size=172"
        self.start("speaks", "ffmpeg", "-nostdin", "-hide_banner", "-re", "-f", "mulaw", "-ar", RATE, "-ac", "1",
                   "-i", self.spoken, "-c:a", "copy", "-f", "rtp", "-srtp_out_suite", self.suite,
                   "-srtp_out_params", key, "-ssrc", self.seed, url)


class GStreamer(Secure):
    """GStreamer has libsrtp."""

    def listen(self, text, ssrc):
        cipher, rtp, rtcp = SUITES[self.suite][1:]
        caps = (f"application/x-srtp, media=(string)audio, clock-rate=(int){RATE}, encoding-name=(string)PCMU, "
                f"payload=(int)0, ssrc=(uint){ssrc}, roc=(uint)0, srtp-key=(buffer){key_in(text, self.suite).hex()}, "
                f"srtp-cipher=(string){cipher}, srtp-auth=(string){rtp}, "
                f"srtcp-cipher=(string){cipher}, srtcp-auth=(string){rtcp}")
        self.start("listens", "gst-launch-1.0", "udpsrc", f"address={self.host}", f"port={self.port}", f"caps={caps}", "!",
                   "srtpdec", "!", "rtppcmudepay", "!", "filesink", f"location={self.got}", "buffer-mode=unbuffered")

    def speak(self, to):
        cipher, rtp, rtcp = SUITES[self.suite][1:]
        self.start("speaks", "gst-launch-1.0", "filesrc", f"location={self.spoken}", f"blocksize={OCTETS}", "!",
                   "rawaudioparse", "use-sink-caps=false", "format=mulaw", f"sample-rate={RATE}", "num-channels=1", "!",
                   "rtppcmupay", f"ssrc={self.seed}", "!", "srtpenc", f"key={self.key.hex()}", f"rtp-cipher={cipher}",
                   f"rtp-auth={rtp}", f"rtcp-cipher={cipher}", f"rtcp-auth={rtcp}", "!", "udpsink", f"host={to[0]}",
                   f"port={to[1]}", f"bind-port={self.port + 2}", "sync=true")
