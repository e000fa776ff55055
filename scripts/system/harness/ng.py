"""A SIP proxy, as far as media is concerned: commands of rtpengine's ng protocol, and the SDP of two parties."""

import itertools
import json
import time

from .media import Peer, Stream
from .net import Network

NG = ("127.0.0.1", 2223)
_cookies = itertools.count(1)


class Proxy:
    """Sends commands to the server on its own machine, and again when no answer comes, as proxies do."""

    def __init__(self, world):
        self.sock = world.net.relay.udp("127.0.0.1")
        self.sock.settimeout(0.5)
        world.at_end(self.sock.close)

    def command(self, command, seconds=10, **fields):
        """The answer, whatever it says; `_` in names of fields is `-`."""
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        cookie = f"c{next(_cookies)}".encode()
        datagram = cookie + b" " + json.dumps({"command": command, **fields}).encode()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sock.sendto(datagram, NG)
            try:
                while True:
                    answered, _, answer = self.sock.recvfrom(65536)[0].partition(b" ")
                    if answered == cookie:
                        return json.loads(answer)
            except (TimeoutError, ConnectionRefusedError):
                continue
        raise AssertionError(f"{command}: no answer in {seconds} s")

    def ask(self, command, **fields):
        """The answer; `ok` or `pong`, or else this fails."""
        answer = self.command(command, **fields)
        assert answer["result"] in ("ok", "pong"), answer
        return answer


def sdp(host, port, rtcp=None, lines=(), profile="RTP/AVP", events=True):
    """The offer or answer of a party with G.711, and telephone events if it has them."""
    family = "IP6" if ":" in host else "IP4"
    return "\r\n".join([
        "v=0", f"o=- 1 1 IN {family} {host}", "s=-", f"c=IN {family} {host}", "t=0 0",
        f"m=audio {port} {profile} 0{' 101' if events else ''}", "a=rtpmap:0 PCMU/8000",
        *(["a=rtpmap:101 telephone-event/8000"] if events else []), "a=sendrecv",
        *([f"a=rtcp:{rtcp}"] if rtcp else []), *lines, ""])


def where(text):
    """The address of the first stream of an SDP."""
    lines = text.replace("\r\n", "\n").split("\n")
    host = next(line for line in lines if line.startswith("c=")).split()[2]
    port = next(line for line in lines if line.startswith("m=")).split()[1]
    return host, int(port)


class AnchoredCall:
    """A call from the client's to the peer's namespace, with streams both ways."""

    def __init__(self, world, proxy, call_id="call", per_second=200, offer=None, answer=None):
        self.proxy, self.call_id = proxy, call_id
        self.caller = world.use(Peer(world.net.client.udp(Network.CLIENT)))
        self.callee = world.use(Peer(world.net.peer.udp(Network.PEER)))
        text = sdp(*self.caller.address)
        offered = proxy.ask("offer", call_id=call_id, from_tag="a", sdp=text, **(offer or {}))
        text = sdp(*self.callee.address)
        answered = proxy.ask("answer", call_id=call_id, from_tag="a", to_tag="b", sdp=text, **(answer or {}))
        self.to_callee, self.to_caller = where(offered["sdp"]), where(answered["sdp"])
        self.out = Stream(lambda octets: self.caller.sock.sendto(octets, self.to_caller), per_second)
        self.back = Stream(lambda octets: self.callee.sock.sendto(octets, self.to_callee), per_second, ssrc=0x4241434B)
        self.callee.on_data = lambda arrival, source, octets: self.out.received(arrival, octets)
        self.caller.on_data = lambda arrival, source, octets: self.back.received(arrival, octets)

    def start(self):
        self.out.start()
        self.back.start()
        return self

    def stop(self):
        self.out.stop(0)
        self.back.stop()
        return self

    def delete(self):
        return self.proxy.ask("delete", call_id=self.call_id, from_tag="a")

    @property
    def lost(self):
        return self.out.lost + self.back.lost

    def __str__(self):
        return f"out: {self.out}; back: {self.back}"
