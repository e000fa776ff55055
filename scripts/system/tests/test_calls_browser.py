"""Calls between browsers, which have ICE and DTLS-SRTP only, and bundle, and a party with plain RTP."""

import re
import struct

from harness.browser import chromium, firefox, run_page
from harness.net import Network
from harness.ng import Proxy, sdp, where
from harness.runner import test
from harness.secure import SECONDS, Plain
from harness.server import Raceway

CALLS = {"ng": {"listen": ["127.0.0.1:2223"]},
         "media": {"interfaces": {"ext": Network.SERVER}, "port_range": "30000-39999"}}
TO_BROWSER = {"transport_protocol": "UDP/TLS/RTP/SAVPF", "ICE": "force"}
TO_PLAIN = {"transport_protocol": "RTP/AVP", "ICE": "remove", "rtcp_mux": ["demux"]}
PACKETS = SECONDS * 50  # of each direction


class Mirror(Plain):
    """Video of the plain party: what it gets, under a source of its own."""

    def __init__(self, world):
        super().__init__(world, world.net.peer, Network.PEER, 0x4D495252)
        self.to, self.packets, self.payload_type, self.wants_picture = None, 0, 96, False

    def _heard(self, arrival, source, octets):
        self.packets += 1
        self.types.add(octets[1] & 0x7F)
        if self.wants_picture:
            self.wants_picture = False
            report = struct.pack("!BBHI", 0x80, 201, 1, self.seed)
            lost = struct.pack("!BBHI", 0x81, 206, 2, self.seed) + octets[8:12]  # RFC 4585 section 6.3.1
            self._rtcp.sock.sendto(report + lost, (self.to[0], self.to[1] + 1))
        if self.to:
            self._rtp.sock.sendto(octets[:8] + struct.pack("!I", self.seed) + octets[12:], self.to)


class Bridge:
    """The signalling between the page and the plain party, and what the plain party is told."""

    def __init__(self, world, video=False):
        self.proxy = Proxy(world)
        self.plain = Plain(world, world.net.peer, Network.PEER, 0x504C4149)
        self.mirror = Mirror(world) if video else None
        self.told = ""

    def __call__(self, path, text):
        return getattr(self, path.removeprefix("/"))(text)

    def _tell(self, text):
        """The plain party gets an SDP. Its video may begin before its sound: what comes begins with a whole picture."""
        self.told = text
        if self.mirror:
            self.mirror.to = (where(text)[0], int(text.split("m=video ")[1].split()[0]))
            self.mirror.payload_type = int(re.search(r"a=rtpmap:(\d+) VP8/90000", text)[1])

    def _sdp(self, **options):
        video = ()
        if self.mirror:
            vp8 = self.mirror.payload_type
            video = (f"m=video {self.mirror.port} RTP/AVP {vp8}", f"a=rtpmap:{vp8} VP8/90000")
        return sdp(self.plain.host, self.plain.port, profile=self.plain.profile, lines=video, **options)

    def offer(self, text):
        """The browser offers; what it gets for an answer."""
        named = {"call_id": "call", "from_tag": "a"}
        self._tell(self.proxy.ask("offer", sdp=text, **named, **TO_PLAIN)["sdp"])
        # The events that it was offered have other numbers; it has none.
        return self.proxy.ask("answer", sdp=self._sdp(events=False), to_tag="b", **named, **TO_BROWSER)["sdp"]

    def invite(self, text):
        """The plain party offers; what the browser gets."""
        return self.proxy.ask("offer", call_id="call", from_tag="a", sdp=self._sdp(), **TO_BROWSER)["sdp"]

    def answer(self, text):
        self._tell(self.proxy.ask("answer", call_id="call", from_tag="a", to_tag="b", sdp=text, **TO_PLAIN)["sdp"])
        return ""

    def connected(self, text):
        self.plain.speak(where(self.told))
        if self.mirror:
            # What the browser sent before its answer was there is lost.
            self.mirror.wants_picture = True
        return ""


def talk(world, role, video=False, browser=chromium):
    """Each hears the other; the call counts that of both, and ends."""
    Raceway(world, CALLS)
    bridge = Bridge(world, video)
    query = {"video": 1} if video else {}
    result = run_page(world, page="call.html", signal=bridge, browser=browser, role=role,
                      listen=SECONDS + 1, **query)
    assert "error" not in result, (result, bridge.told)
    counted = bridge.proxy.ask("query", call_id="call")["tags"]
    for secret in ("fingerprint", "candidate", "ice-ufrag", "crypto", "SAVP"):
        assert secret not in bridge.told, bridge.told
    assert result["connected_ms"] < 3000, result
    assert result["srtpCipher"] or browser is firefox, result
    assert result["packetsReceived"] >= 0.95 * PACKETS and result["totalAudioEnergy"] > 0, (result, counted)
    plain = bridge.plain
    # A browser on a busy machine is late, and what it sent before its answer was here is lost.
    sent = 0.85 * min(PACKETS, result["packetsSent"])
    assert len(plain.payloads) >= sent >= PACKETS / 3, (result, len(plain.payloads), counted)
    assert plain.types == {0}, plain.types
    # Silence is one octet or two; a tone that fits the sampling rate may be as few as eight.
    assert len(set(plain.heard())) > 4, "the browser's sound is silence"
    assert plain.reports, "no report of the browser's came through"
    for tag, packets in zip("ab" if role == "offers" else "ba", (sent, 0.95 * PACKETS)):
        stats = counted[tag]["medias"][0]["streams"][0]["stats"]
        assert stats["packets"] >= packets, (result, counted)
    if video:
        see(bridge, result, counted)
    bridge.proxy.ask("delete", call_id="call", from_tag="a")
    assert bridge.proxy.command("query", call_id="call")["result"] == "error"


def see(bridge, result, counted):
    """Video came both ways, by the same port at the browser's side and by one of its own at the other."""
    mirror, video = bridge.mirror, result["video"]
    # Firefox does not tell.
    assert result["transports"] <= 1, result
    # The mirror goes on after the browser has counted.
    assert mirror.packets >= 0.8 * video["sent"] > 0, (result, mirror.packets, counted)
    assert mirror.types == {mirror.payload_type}, mirror.types
    assert video["received"] >= 0.8 * video["sent"] and video["framesDecoded"] > 10, (result, mirror.packets, counted)
    assert mirror.reports, "no report about video came through"
    ours = {tag: [media["streams"][0]["local port"] for media in counted[tag]["medias"]] for tag in ("a", "b")}
    assert sorted(len(set(ports)) for ports in ours.values()) == [1, 2], ours


@test("headless Chromium calls a plain party, and they hear each other")
def browser_offers(world):
    talk(world, "offers")


@test("a plain party calls headless Chromium, and they hear each other")
def browser_answers(world):
    talk(world, "answers")


@test("audio and video that headless Chromium bundles go to and from two ports of a plain party that it calls")
def browser_bundles(world):
    talk(world, "offers", video=True)


@test("a plain party's audio and video, each with a port, are one bundle for headless Chromium that it calls")
def browser_is_bundled(world):
    talk(world, "answers", video=True)


@test("audio and video that headless Firefox bundles go to and from two ports of a plain party that it calls")
def firefox_bundles(world):
    talk(world, "offers", video=True, browser=firefox)


@test("a plain party's audio and video, each with a port, are one bundle for headless Firefox that it calls")
def firefox_is_bundled(world):
    talk(world, "answers", video=True, browser=firefox)
