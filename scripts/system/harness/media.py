"""RTP streams with a sequence number in every packet: what was lost, and when nothing came."""

import struct
import threading
import time

PAYLOAD = bytes(160)  # 20 ms of G.711


class Stream:
    """Sends RTP by `send(payload)` at a steady rate until it is stopped; `received(time, octets)` takes arrivals."""

    def __init__(self, send, per_second=200, ssrc=0x52574159):
        self._send, self._interval, self._ssrc = send, 1.0 / per_second, ssrc
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent_at, self.arrived = [], {}
        self.errors = 0

    def start(self):
        self._thread.start()
        return self

    def stop(self, settle=0.3):
        """Ends the stream; packets under way get `settle` seconds to arrive."""
        self._stop.set()
        self._thread.join()
        time.sleep(settle)
        return self

    def _run(self):
        begun = due = time.monotonic()
        while not self._stop.is_set():
            number = len(self.sent_at)
            stamp = int((time.monotonic() - begun) * 8000) & 0xFFFFFFFF
            packet = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, stamp, self._ssrc) + PAYLOAD
            self.sent_at.append(time.monotonic())
            try:
                self._send(packet)
            except OSError:
                self.errors += 1
            due += self._interval
            self._stop.wait(max(0.0, due - time.monotonic()))

    def received(self, arrival, octets):
        if len(octets) == 172 and struct.unpack_from("!I", octets, 8)[0] == self._ssrc:
            self.arrived.setdefault(struct.unpack_from("!H", octets, 2)[0], arrival)

    # What became of it.

    @property
    def sent(self):
        return len(self.sent_at)

    @property
    def lost(self):
        return self.sent - len(self.arrived)

    def lost_numbers(self):
        return [number for number in range(self.sent) if number & 0xFFFF not in self.arrived]

    def longest_silence(self):
        """Seconds between two arrivals, at most."""
        times = sorted(self.arrived.values())
        return max((later - earlier for earlier, later in zip(times, times[1:])), default=float("inf"))

    def last_arrival(self):
        return max(self.arrived.values(), default=0.0)

    def __str__(self):
        return f"{self.sent} sent, {self.lost} lost, longest silence {self.longest_silence():.3f} s"


class Peer:
    """A UDP socket of the other side. Echoes when told so; hands everything to `on_data(time, source, payload)`."""

    def __init__(self, sock, echo=False):
        self.sock, self.echo = sock, echo
        self.on_data = lambda arrival, source, payload: None
        self._closed = False
        sock.settimeout(0.1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def address(self):
        return self.sock.getsockname()[:2]

    def _read(self):
        while not self._closed:
            try:
                octets, source = self.sock.recvfrom(65536)
            except (TimeoutError, ConnectionRefusedError):
                continue
            except OSError:
                return
            self.on_data(time.monotonic(), source[:2], octets)
            if self.echo:
                self.sock.sendto(octets, source)

    def close(self):
        self._closed = True
        self._reader.join()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Call:
    """A client with an allocation, a channel to a peer, and streams both ways over it."""

    def __init__(self, client, peer, number=0x4000, per_second=200):
        self.client, self.peer = client, peer
        relayed = client.relayed[0]
        self.out = Stream(lambda octets: client.send_channel(number, octets), per_second)
        self.back = Stream(lambda octets: peer.sock.sendto(octets, relayed), per_second)
        peer.on_data = lambda arrival, source, octets: self.out.received(arrival, octets)
        client.on_data = lambda arrival, source, octets: self.back.received(arrival, octets)

    def start(self):
        self.out.start()
        self.back.start()
        return self

    def stop(self):
        self.out.stop(0)
        self.back.stop()
        return self

    @property
    def lost(self):
        return self.out.lost + self.back.lost

    def __str__(self):
        return f"out: {self.out}; back: {self.back}"
