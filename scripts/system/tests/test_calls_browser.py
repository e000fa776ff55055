"""Calls between headless Chromium, which has ICE and DTLS-SRTP only, and a party with plain RTP."""

from harness.browser import run_page
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


class Bridge:
    """The signalling between the page and the plain party, and what the plain party is told."""

    def __init__(self, world):
        self.proxy = Proxy(world)
        self.plain = Plain(world, world.net.peer, Network.PEER, 0x504C4149)
        self.told = ""

    def __call__(self, path, text):
        return getattr(self, path.removeprefix("/"))(text)

    def _sdp(self, **options):
        return sdp(self.plain.host, self.plain.port, profile=self.plain.profile, **options)

    def offer(self, text):
        """The browser offers; what it gets for an answer."""
        named = {"call_id": "call", "from_tag": "a"}
        self.told = self.proxy.ask("offer", sdp=text, **named, **TO_PLAIN)["sdp"]
        # The events that it was offered have other numbers; it has none.
        return self.proxy.ask("answer", sdp=self._sdp(events=False), to_tag="b", **named, **TO_BROWSER)["sdp"]

    def invite(self, text):
        """The plain party offers; what the browser gets."""
        return self.proxy.ask("offer", call_id="call", from_tag="a", sdp=self._sdp(), **TO_BROWSER)["sdp"]

    def answer(self, text):
        self.told = self.proxy.ask("answer", call_id="call", from_tag="a", to_tag="b", sdp=text, **TO_PLAIN)["sdp"]
        return ""

    def connected(self, text):
        self.plain.speak(where(self.told))
        return ""


def talk(world, role):
    """Each hears the other; the call counts that of both, and ends."""
    Raceway(world, CALLS)
    bridge = Bridge(world)
    result = run_page(world, page="call.html", signal=bridge, role=role, listen=SECONDS + 1)
    assert "error" not in result, (result, bridge.told)
    counted = bridge.proxy.ask("query", call_id="call")["tags"]
    for secret in ("fingerprint", "candidate", "ice-ufrag", "crypto", "SAVP"):
        assert secret not in bridge.told, bridge.told
    assert result["connected_ms"] < 3000 and result["srtpCipher"], result
    assert result["packetsReceived"] >= 0.95 * PACKETS and result["totalAudioEnergy"] > 0, (result, counted)
    plain = bridge.plain
    assert len(plain.payloads) >= 0.95 * PACKETS, (result, len(plain.payloads), counted)
    assert plain.types == {0}, plain.types
    assert len(set(plain.heard())) > 10, "the browser's sound is silence"
    assert plain.reports, "no report of the browser's came through"
    for tag in ("a", "b"):
        stats = counted[tag]["medias"][0]["streams"][0]["stats"]
        assert stats["packets"] >= 0.95 * PACKETS, counted
    bridge.proxy.ask("delete", call_id="call", from_tag="a")
    assert bridge.proxy.command("query", call_id="call")["result"] == "error"


@test("headless Chromium calls a plain party, and they hear each other")
def browser_offers(world):
    talk(world, "offers")


@test("a plain party calls headless Chromium, and they hear each other")
def browser_answers(world):
    talk(world, "answers")
