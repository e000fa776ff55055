"""Commands by HTTPS and WebSocket."""

import base64
import hashlib
import http.client
import os
import socket
import ssl
import struct

from harness.net import run
from harness.runner import test
from harness.server import Raceway

PORTS = {"http": 2225, "https": 2226}


def certificate(directory, name):
    """A new certificate for localhost and its key, at the place that is configured."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", directory / "ng.key", "-out", directory / "ng.pem")
    for file in ("ng.key", "ng.pem"):
        (directory / file).chmod(0o644)
    return (directory / "ng.pem").read_text()


def started(world):
    text = certificate(world.directory, "first")
    return text, Raceway(world, {"ng": {
        "listen": ["127.0.0.1:2223"], "http_listen": "127.0.0.1:2225", "https_listen": "127.0.0.1:2226",
        "https_certificate": str(world.directory / "ng.pem"), "https_key": str(world.directory / "ng.key")}})


def secured(world, trusted):
    """A connection to the server by TLS, which trusts that certificate and no other."""
    def connect():
        context = ssl.create_default_context(cadata=trusted)
        return context.wrap_socket(socket.create_connection(("127.0.0.1", 2226), 5), server_hostname="localhost")
    stream = world.net.relay.call(connect)
    world.at_end(stream.close)
    return stream


def ask(stream, path, body):
    """The status and the body of an answer to a POST."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = stream
    connection.request("POST", path, body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@test("commands are taken by HTTPS, and a reload shows new connections the new certificate")
def https(world):
    first, raceway = started(world)
    stream = secured(world, first)
    assert ask(stream, "/ng", "1 d7:command4:pinge") == (200, "1 d6:result4:ponge")
    assert ask(stream, "/ng-plain", '{"command":"ping"}') == (200, '{"result":"pong"}')
    second = certificate(world.directory, "second")
    raceway.ctl("reload")
    try:
        secured(world, first)
        raise AssertionError("the old certificate is still shown")
    except ssl.SSLCertVerificationError:
        pass
    assert ask(secured(world, second), "/ng-plain", '{"command":"ping"}')[0] == 200
    assert ask(stream, "/ng-plain", '{"command":"ping"}')[0] == 200, "the connection that was there goes on"
    (world.directory / "ng.key").write_text("nothing")
    refused = raceway.net.relay.call(lambda: raceway.ctl("reload", check=False))
    assert ask(secured(world, second), "/ng-plain", '{"command":"ping"}')[0] == 200, refused


class WebSocket:
    """As a client of RFC 6455 has it."""

    def __init__(self, stream, protocol, path="/", origin=None):
        self.stream, self.buffer = stream, b""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {protocol}"]
        lines += [f"Origin: {origin}"] if origin else []
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode()
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.accepted = base64.b64encode(digest).decode() in self.head and f"{protocol}" in self.head

    def _more(self):
        more = self.stream.recv(65536)
        assert more, "the connection has ended"
        return more

    def _take(self, count):
        while len(self.buffer) < count:
            self.buffer += self._more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, kind, octets):
        mask = os.urandom(4)
        masked = bytes(octet ^ mask[at % 4] for at, octet in enumerate(octets))
        size = struct.pack("!B", 0x80 | len(octets)) if len(octets) < 126 else struct.pack("!BH", 0xFE, len(octets))
        self.stream.sendall(bytes([0x80 | kind]) + size + mask + masked)

    def receive(self):
        kind, size = self._take(2)
        if size == 126:
            size = struct.unpack("!H", self._take(2))[0]
        return kind & 0x0F, self._take(size)

    def ask(self, kind, text):
        self.send(kind, text.encode())
        answered, octets = self.receive()
        assert answered == kind, (answered, octets)
        return octets.decode()


@test("commands are taken by WebSocket in rtpengine's subprotocols, with and without TLS")
def websocket(world):
    first, raceway = started(world)

    def plain():
        stream = raceway.net.relay.call(lambda: socket.create_connection(("127.0.0.1", 2225), 5))
        world.at_end(stream.close)
        return stream

    for stream in (plain(), secured(world, first)):
        proxy = WebSocket(stream, "ng.rtpengine.com")
        assert proxy.accepted, proxy.head
        assert proxy.ask(1, "a d7:command4:pinge") == "a d6:result4:ponge"
        assert proxy.ask(2, 'b {"command":"ping"}') == 'b {"result":"pong"}'
        assert proxy.ask(1, 'c {"command":"query","call-id":"' + 200 * "x" + '"}').startswith('c {"result":"error"')
        proxy.send(9, b"there?")
        assert proxy.receive() == (10, b"there?")
    assert WebSocket(plain(), "ng-plain.rtpengine.com", "/ng").ask(1, '{"command":"ping"}') == '{"result":"pong"}'
    assert WebSocket(plain(), "other.example.com").head.startswith("HTTP/1.1 400")
    assert WebSocket(plain(), "ng.rtpengine.com", origin="https://example.com").head.startswith("HTTP/1.1 403")
