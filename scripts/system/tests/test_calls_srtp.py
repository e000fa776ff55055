"""Calls with parties whose SRTP is somebody else's: FFmpeg's, and libsrtp's by GStreamer."""

import shutil

from harness.net import Network
from harness.ng import Proxy, sdp, where
from harness.runner import Skip, test
from harness.secure import SECONDS, FFmpeg, GStreamer, Plain
from harness.server import Raceway

CALLS = {"ng": {"listen": ["127.0.0.1:2223"]},
         "media": {"interfaces": {"ext": Network.SERVER}, "port_range": "30000-39999"}}


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"no {program}")


def caller(kind, world, *suite):
    return kind(world, world.net.client, Network.CLIENT, 0x43414C4C, *suite)


def callee(kind, world, *suite):
    return kind(world, world.net.peer, Network.PEER, 0x42414348, *suite)


def connect(proxy, a, b):
    """Offer and answer; what each party is told."""
    named = {"call_id": "call", "from_tag": "a", "endpoint_learning": "off"}
    text = sdp(a.host, a.port, lines=a.lines(), profile=a.profile)
    offered = proxy.ask("offer", sdp=text, transport_protocol=b.profile, **named)["sdp"]
    text = sdp(b.host, b.port, lines=b.lines(offered), profile=b.profile)
    return proxy.ask("answer", sdp=text, to_tag="b", **named)["sdp"], offered


def talk(world, a, b):
    """Both speak, and both hear the other's sound, octet for octet."""
    Raceway(world, CALLS)
    proxy = Proxy(world)
    to_a, to_b = connect(proxy, a, b)
    a.listen(to_a, b.seed)
    b.listen(to_b, a.seed)
    world.wait(1.5)
    a.speak(where(to_a))
    b.speak(where(to_b))
    world.wait(SECONDS + 2.0)
    for listener, speaker in ((a, b), (b, a)):
        heard = listener.heard()
        detail = f"{type(listener).__name__} heard {len(heard)} of {len(speaker.sound)} octets of {type(speaker).__name__}"
        assert len(heard) > 0.8 * len(speaker.sound), detail
        assert heard in speaker.sound, f"{detail}, and they are not right"


def ffmpeg_to_plain(world, suite):
    needs("ffmpeg")
    plain = callee(Plain, world)
    talk(world, caller(FFmpeg, world, suite), plain)
    return [report for report in plain.reports if report[1] == 200]


@test("FFmpeg with AES_CM_128_HMAC_SHA1_80 and a plain party hear each other")
def ffmpeg_80(world):
    assert ffmpeg_to_plain(world, "AES_CM_128_HMAC_SHA1_80"), "no sender report came through"


@test("FFmpeg with AES_CM_128_HMAC_SHA1_32 and a plain party hear each other")
def ffmpeg_32(world):
    # FFmpeg puts the short tag on SRTCP too; RFC 4568 section 6.2 wants the long one there.
    assert not ffmpeg_to_plain(world, "AES_CM_128_HMAC_SHA1_32")


def gstreamer_to_plain(world, suite):
    needs("gst-launch-1.0")
    talk(world, caller(GStreamer, world, suite), callee(Plain, world))


@test("GStreamer with AES_256_CM_HMAC_SHA1_80 and a plain party hear each other")
def gstreamer_256(world):
    gstreamer_to_plain(world, "AES_256_CM_HMAC_SHA1_80")


@test("GStreamer with AEAD_AES_128_GCM and a plain party hear each other")
def gstreamer_gcm(world):
    gstreamer_to_plain(world, "AEAD_AES_128_GCM")


@test("GStreamer with AEAD_AES_256_GCM and a plain party hear each other")
def gstreamer_gcm_256(world):
    gstreamer_to_plain(world, "AEAD_AES_256_GCM")


@test("FFmpeg and GStreamer with different suites hear each other")
def both_secure(world):
    needs("ffmpeg", "gst-launch-1.0")
    talk(world, caller(FFmpeg, world, "AES_CM_128_HMAC_SHA1_80"), callee(GStreamer, world, "AEAD_AES_128_GCM"))
