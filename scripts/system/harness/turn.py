"""A TURN client whose every step a test can see and time."""

import base64
import contextlib
import hashlib
import hmac
import struct
import threading
import time

from . import stun


class Refused(AssertionError):
    """An error response."""

    def __init__(self, message):
        super().__init__(f"method {message.method:#x} refused with {message.error}")
        self.code = message.error
        self.message = message


class NoAnswer(AssertionError):
    """All retransmissions without a response."""


class Client:
    """One 5-tuple. A thread reads: responses wake `request`, data goes to `on_data(time, source, payload)`."""

    def __init__(self, sock, server, user, password):
        self.sock, self.server, self.user, self.password = sock, server, user, password
        self.realm = self.nonce = None
        self.on_data = lambda arrival, source, payload: None
        self.on_indication = lambda message: None
        self.relayed = []
        self._answers, self._changed, self._closed = {}, threading.Condition(), False
        sock.connect(server)
        sock.settimeout(0.1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def open(cls, namespace, host, server, user, password):
        return cls(namespace.udp(host), server, user, password)

    @property
    def address(self):
        return self.sock.getsockname()[:2]

    def close(self):
        self._closed = True
        self._reader.join()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Media.

    def send_channel(self, number, payload):
        self.sock.send(stun.channel_data(number, payload))

    def send_indication(self, peer, payload):
        message = stun.Message(stun.SEND, stun.INDICATION)
        message.add_address(stun.XOR_PEER_ADDRESS, *peer).add(stun.DATA_ATTRIBUTE, payload)
        self.sock.send(message.encode())

    # Requests. Each gives the success response or raises `Refused` or `NoAnswer`.

    def allocate(self, lifetime=None, family=None, both=False):
        """Allocates; the (first) relayed address. All of them are in `relayed`."""
        attributes = [(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0])), *_lifetime(lifetime)]
        if family:
            attributes.append((stun.REQUESTED_ADDRESS_FAMILY, bytes([1 if family == 4 else 2, 0, 0, 0])))
        if both:
            attributes.append((stun.ADDITIONAL_ADDRESS_FAMILY, bytes([2, 0, 0, 0])))
        answer = self.request(stun.ALLOCATE, attributes)
        self.relayed = [stun.unxor_address(value, answer.transaction)
                        for kind, value in answer.attributes if kind == stun.XOR_RELAYED_ADDRESS]
        return self.relayed[0]

    def refresh(self, lifetime=None):
        """Refreshes; the lifetime granted, in seconds."""
        return struct.unpack("!I", self.request(stun.REFRESH, _lifetime(lifetime)).get(stun.LIFETIME))[0]

    def permit(self, *hosts):
        return self.request(stun.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, (host, 0)) for host in hosts])

    def bind(self, number, peer):
        number = struct.pack("!HH", number, 0)
        return self.request(stun.CHANNEL_BIND, [(stun.CHANNEL_NUMBER, number), (stun.XOR_PEER_ADDRESS, peer)])

    def binding(self):
        """Our address as the server sees it."""
        return self.request(stun.BINDING).address(stun.XOR_MAPPED_ADDRESS)

    def request(self, method, attributes=(), seconds=8.0):
        """Sends with long-term credentials, takes up realm and nonce from a 401 or 438, retransmits."""
        while True:
            answer = self._exchange(*self._signed(method, attributes), seconds)
            if answer.kind == stun.SUCCESS:
                return answer
            if answer.error != 438 and (answer.error != 401 or self.realm is not None):
                raise Refused(answer)
            self.realm, self.nonce = answer.get(stun.REALM), answer.get(stun.NONCE)

    def _signed(self, method, attributes):
        """Transaction and octets of a request, with credentials if the server's realm is known."""
        message = stun.Message(method, stun.REQUEST)
        for kind, value in attributes:
            message.add(kind, stun.xor_address(*value, message.transaction) if isinstance(value, tuple) else value)
        if self.realm is None or method == stun.BINDING:
            return message.transaction, message.encode()
        message.add(stun.USERNAME, self.user.encode()).add(stun.REALM, self.realm).add(stun.NONCE, self.nonce)
        return message.transaction, message.encode(stun.long_term_key(self.user, self.realm.decode(), self.password))

    def _exchange(self, transaction, octets, seconds):
        end, pause = time.monotonic() + seconds, 0.25
        while time.monotonic() < end:
            with contextlib.suppress(ConnectionRefusedError):  # an earlier ICMP error; this datagram is gone too
                self.sock.send(octets)
            with self._changed:
                self._changed.wait_for(lambda: transaction in self._answers, min(pause, end - time.monotonic()))
                if transaction in self._answers:
                    return self._answers.pop(transaction)
            pause = min(pause * 2, 1.0)
        raise NoAnswer(f"no response within {seconds:g} s")

    def _read(self):
        while not self._closed:
            try:
                octets = self.sock.recv(65536)
            except (TimeoutError, ConnectionRefusedError):
                continue
            except OSError:
                return
            self._dispatch(time.monotonic(), octets)

    def _dispatch(self, arrival, octets):
        if octets and 0x40 <= octets[0] <= 0x4F:
            number, length = struct.unpack_from("!HH", octets)
            self.on_data(arrival, number, octets[4 : 4 + length])
            return
        message = stun.decode(octets)
        if message.kind == stun.INDICATION:
            self.on_indication(message)
            self.on_data(arrival, message.address(stun.XOR_PEER_ADDRESS), message.get(stun.DATA_ATTRIBUTE))
            return
        with self._changed:
            self._answers[message.transaction] = message
            self._changed.notify_all()


def _lifetime(seconds):
    return [] if seconds is None else [(stun.LIFETIME, struct.pack("!I", seconds))]


def rest_credentials(secret, user, seconds=600):
    """User name and password of coturn's use-auth-secret scheme."""
    name = f"{int(time.time()) + seconds}:{user}"
    return name, base64.b64encode(hmac.digest(secret.encode(), name.encode(), hashlib.sha1)).decode()
