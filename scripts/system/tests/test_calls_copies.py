"""Copies of calls for who subscribes, and what others are told of calls."""

import json
import struct
import threading

from harness.media import PAYLOAD, Peer, Stream
from harness.net import Network
from harness.ng import AnchoredCall, Proxy
from harness.process import wait_for
from harness.runner import test
from harness.server import Raceway, merged, xdp_share

CALLS = {"ng": {"listen": ["127.0.0.1:2223"]},
         "media": {"interfaces": {"ext": Network.SERVER}, "port_range": "30000-39999"}}


class Recorder:
    """Subscribes to all of a call, a socket for each stream, and keeps the sequence numbers of what comes, by SSRC."""

    def __init__(self, world, proxy, call_id, tag):
        self.proxy, self.call_id, self.tag = proxy, call_id, tag
        self.heard, self.wrong = {}, []
        offer = proxy.ask("subscribe request", call_id=call_id, all="all", to_tag=tag)
        assert offer["from-tags"] == ["a", "b"] and offer["to-tag"] == tag, offer
        assert offer["sdp"].count("a=sendonly") == 2 and "m=audio" in offer["sdp"], offer
        self.peers = [world.use(Peer(world.net.peer.udp(Network.PEER))) for _ in range(2)]
        for peer in self.peers:
            peer.on_data = self._take
        lines = [f"m=audio {peer.address[1]} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n"
                 for peer in self.peers]
        address = f"IN IP4 {Network.PEER}"
        text = f"v=0\r\no=r 1 1 {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n" + "".join(lines)
        proxy.ask("subscribe answer", call_id=call_id, to_tag=tag, sdp=text)

    def _take(self, _arrival, _source, octets):
        if len(octets) != 12 + len(PAYLOAD) or octets[12:] != PAYLOAD or octets[0] != 0x80:
            self.wrong.append(octets)
            return
        number, ssrc = struct.unpack_from("!H", octets, 2)[0], struct.unpack_from("!I", octets, 8)[0]
        self.heard.setdefault(ssrc, []).append(number)

    def leave(self):
        self.proxy.ask("unsubscribe", call_id=self.call_id, to_tag=self.tag)

    def missed(self):
        """Sequence numbers between the first and the last of a stream that did not come, or came twice."""
        return {ssrc: sorted(set(range(numbers[0], numbers[-1] + 1)) ^ set(numbers)) or len(numbers) - len(set(numbers))
                for ssrc, numbers in self.heard.items()}


def share_of_xdp(world, raceway):
    before = raceway.metrics()
    world.wait(0.5)
    return xdp_share(before, raceway.metrics())


@test("a subscriber hears both parties of a call, and the call does not notice that it comes and goes")
def subscribe_both(world):
    raceway = Raceway(world, CALLS)
    proxy = Proxy(world)
    # As a phone sends: what a busy machine gets to late is then still within what a call may bring at once.
    call = AnchoredCall(world, proxy, per_second=50).start()
    world.wait(4.0)
    settled = share_of_xdp(world, raceway)
    first = Recorder(world, proxy, call.call_id, "recorder")
    world.wait(1.0)
    second = Recorder(world, proxy, call.call_id, "listener")
    world.wait(1.0)
    shared = share_of_xdp(world, raceway)
    shown = raceway.ctl("call", call.call_id)
    assert "party recorder, gets copies of a, b" in shown, shown
    known = proxy.ask("query", call_id=call.call_id)["tags"]
    assert [other["tag"] for other in known["a"]["subscribers"]] == ["b", "recorder", "listener"], known["a"]
    second.leave()
    # What was under way may still arrive.
    world.wait(0.3)
    before = {ssrc: len(numbers) for ssrc, numbers in second.heard.items()}
    world.wait(0.5)
    assert {ssrc: len(numbers) for ssrc, numbers in second.heard.items()} == before, "it hears on"
    # By its tag, as a BYE of the recording session has it.
    proxy.ask("delete", call_id=call.call_id, from_tag="recorder")
    world.wait(1.0)
    back = share_of_xdp(world, raceway)
    call.stop()
    assert call.out.sent > 300 and call.lost == 0, call
    for recorder in (first, second):
        streams = {ssrc: len(numbers) for ssrc, numbers in recorder.heard.items()}
        assert sorted(streams) == [0x4241434B, 0x52574159] and min(streams.values()) > 40, streams
        assert not any(recorder.missed().values()) and not recorder.wrong, (recorder.missed(), recorder.wrong[:3])
    call.delete()
    assert proxy.command("query", call_id=call.call_id)["result"] == "error"
    if settled > 0.95:
        assert shared < 0.05 and back > 0.95, (settled, shared, back)


@test("who publishes is heard by who subscribes, without a call between two")
def publish(world):
    Raceway(world, CALLS)
    proxy = Proxy(world)
    studio = world.use(Peer(world.net.client.udp(Network.CLIENT)))
    address = f"IN IP4 {Network.CLIENT}"
    text = (f"v=0\r\no=s 1 1 {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n"
            f"m=audio {studio.address[1]} RTP/AVP 0\r\na=sendonly\r\n")
    answer = proxy.ask("publish", call_id="show", from_tag="studio", sdp=text)["sdp"]
    assert "a=recvonly" in answer, answer
    host = next(line.split()[2] for line in answer.splitlines() if line.startswith("c="))
    port = int(next(line.split()[1] for line in answer.splitlines() if line.startswith("m=")))
    stream = Stream(lambda octets: studio.sock.sendto(octets, (host, port))).start()
    listeners = []
    for tag in ("one", "two", "three"):
        offer = proxy.ask("subscribe request", call_id="show", from_tag="studio", to_tag=tag)
        assert offer["from-tags"] == ["studio"], offer
        listener = world.use(Peer(world.net.peer.udp(Network.PEER)))
        listener.numbers = set()

        def take(_arrival, _source, octets, numbers=listener.numbers):
            assert octets[12:] == PAYLOAD
            numbers.add(struct.unpack_from("!H", octets, 2)[0])
        listener.on_data = take
        home = f"IN IP4 {Network.PEER}"
        text = (f"v=0\r\no=l 1 1 {home}\r\ns=-\r\nc={home}\r\nt=0 0\r\n"
                f"m=audio {listener.address[1]} RTP/AVP 0\r\na=recvonly\r\n")
        proxy.ask("subscribe answer", call_id="show", to_tag=tag, sdp=text)
        listeners.append(listener)
    world.wait(1.5)
    stream.stop()
    for listener in listeners:
        numbers = listener.numbers
        assert len(numbers) > 200 and numbers == set(range(min(numbers), stream.sent)), (len(numbers), stream.sent)
    proxy.ask("delete", call_id="show")


class Web:
    """Takes what is posted, in the namespace of the server."""

    def __init__(self, world, port):
        self.posted = []
        self.sock = world.net.relay.call(lambda: self._listen(port))
        world.at_end(self.sock.close)
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _listen(port):
        import socket
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()
        return sock

    def _serve(self):
        try:
            while True:
                connection, _ = self.sock.accept()
                with connection:
                    self._answer(connection)
        except OSError:
            return

    def _answer(self, connection):
        text = b""
        while b"\r\n\r\n" not in text or not text.endswith(b"}"):
            more = connection.recv(65536)
            if not more:
                return
            text += more
        self.posted.append(json.loads(text.partition(b"\r\n\r\n")[2]))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def press(sock, to, digit, number, stamp, ssrc=0x44544D46):
    """A key, as a phone sends it (RFC 4733): packets while it is down, and its end three times."""
    for at in range(6):
        end, duration = at >= 3, 160 * min(at + 1, 4)
        head = struct.pack("!BBHII", 0x80, 101 | (0x80 if at == 0 else 0), number + at, stamp, ssrc)
        sock.sendto(head + struct.pack("!BBH", digit, 10 | (0x80 if end else 0), duration), to)


@test("DTMF, one-way media and a media time-out are told to who wants to know")
def told(world):
    changes = {"ng": {"notify": "http://127.0.0.1:8090/calls", "dtmf_log_dest": "127.0.0.1:2333",
                      "notify_of": ["timeout", "one_way", "dtmf"]},
               "media": {"timeout_s": 6}}
    web = Web(world, 8090)
    events = world.net.relay.udp("127.0.0.1", 2333)
    world.at_end(events.close)
    events.settimeout(5)
    raceway = Raceway(world, merged(CALLS, changes))
    proxy = Proxy(world)
    call = AnchoredCall(world, proxy)
    call.out.start()
    world.wait(1.0)
    press(call.caller.sock, call.to_caller, 5, 100, 8000)
    event = json.loads(events.recv(2048))
    assert event["callid"] == "call" and event["source_tag"] == "a" and event["tags"] == ["a", "b"], event
    assert (event["type"], event["event"], event["duration"], event["volume"]) == ("DTMF", 5, 80, 10), event
    assert event["source_ip"] == Network.CLIENT, event

    def posted(kind):
        return next((message for message in web.posted if message["event"] == kind), None)
    assert wait_for("the digit", lambda: posted("dtmf"), 5)["digit"] == "5"
    one_way = wait_for("one-way media", lambda: posted("one_way"), 20)
    assert (one_way["call_id"], one_way["tag"]) == ("call", "b"), one_way
    call.out.stop()
    ended = wait_for("the time-out", lambda: posted("timeout"), 15)
    assert (ended["why"], ended["tags"]) == ("timeout", ["a", "b"]), ended
    assert proxy.command("query", call_id="call")["result"] == "error"
    metrics = raceway.http("/metrics")
    assert 'raceway_notices_total{by="http",result="sent"} 3' in metrics, metrics
    assert 'raceway_notices_total{by="udp",result="sent"} 1' in metrics, metrics
