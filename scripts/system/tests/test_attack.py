"""Many hands that have no credentials."""

import contextlib
import random
import struct

from harness import stun
from harness.net import Network
from harness.runner import test
from harness.scene import new_call, new_client
from harness.server import PORT, WORKERS_ONLY, Raceway

MIB = 1 << 20
HEADERS = 28  # IPv4 and UDP


def allocate_request(number):
    """A first Allocate: 28 octets, and no credentials."""
    message = stun.Message(stun.ALLOCATE, stun.REQUEST, struct.pack("!QI", number, number & 0xFFFFFFFF))
    return message.add(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0])).encode()


def forged_request(number):
    """An Allocate with credentials that nobody has."""
    message = stun.Message(stun.ALLOCATE, stun.REQUEST, struct.pack("!QI", number, number & 0xFFFFFFFF))
    message.add(stun.REQUESTED_TRANSPORT, bytes([17, 0, 0, 0])).add(stun.USERNAME, b"nobody")
    return message.add(stun.REALM, b"nowhere").add(stun.NONCE, b"never" * 12).encode(bytes(16))


def udp_packet(source, port, payload):
    """An IPv4 packet from anywhere to the TURN port; UDP checksum 0 is "none"."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, source,
                         bytes(map(int, Network.SERVER.split("."))))
    return header + struct.pack("!HHHH", port, PORT, 8 + len(payload), 0) + payload


def open_wide(world):
    """The relay's namespace takes any source and answers it by way of the client's interface."""
    world.net.relay.sysctl("net.ipv4.conf.all.rp_filter", 0)
    world.net.relay.sysctl("net.ipv4.conf.rc.rp_filter", 0)
    world.net.relay.ip("route", "add", "default", "via", Network.CLIENT)
    world.net.client.sysctl("net.ipv4.ip_forward", 0)


def spoof(world, count, source, request=allocate_request):
    """`count` Allocate requests from `source(random)`; octets of UDP payload sent."""
    sock = world.net.client.raw()
    chance = random.Random(1)
    octets = 0
    for number in range(count):
        payload = request(number)
        sock.sendto(udp_packet(source(chance), chance.randrange(1024, 65536), payload), (Network.SERVER, 0))
        octets += len(payload)
    sock.close()
    return octets


def one_prefix(chance):
    return bytes([23, 1, 2, chance.randrange(1, 255)])


def anywhere(chance):
    return bytes([chance.randrange(11, 100), *chance.randbytes(3)])


@test("100,000 spoofed Allocate requests leave memory flat and calls alone", seconds=90)
def flood(world):
    raceway = Raceway(world)
    open_wide(world)
    call = new_call(world).start()
    spoof(world, 10_000, anywhere)
    world.wait(1)
    before = {process.log.stem: process.memory() for process in (raceway.relay, raceway.control)}
    spoof(world, 100_000, anywhere)
    world.wait(1)
    for process in (raceway.relay, raceway.control):
        grown = process.memory() - before[process.log.stem]
        assert grown < 2 * MIB, f"{process.log.stem} grew by {grown / MIB:.1f} MiB"
    call.stop()
    assert call.lost == 0, call
    metrics = raceway.metrics()
    assert metrics.total("raceway_sessions") == 1
    assert metrics.total("raceway_turn_requests_total", method="allocate") > 1000, metrics.text
    assert call.client.refresh(600) == 600


@test("unauthenticated requests of one prefix get no more octets than they send, beyond the budget", seconds=90)
def amplification(world):
    budget = 2000
    Raceway(world, {"turn.policy": {"unauthenticated_octets_per_second": budget, "stun_requests_per_second": 0}})
    open_wide(world)
    count = 30_000
    wire = world.net.client.listen_to("c0")
    begun = world.now()
    octets_in = spoof(world, count, one_prefix)
    world.wait(1)
    seconds = world.now() - begun
    octets_out = sum(len(packet) - HEADERS for packet in received(wire))
    assert octets_out > 0, "nothing was answered"
    assert octets_out <= octets_in + budget * (seconds + 2), f"{octets_out} octets for {octets_in} in {seconds:.1f} s"


def control_is_spared(world, request, changes):
    """A flood of one prefix: control sees what its budget allows, and serves others."""
    raceway = Raceway(world, {"turn.policy": {"stun_requests_per_second": 50}, **changes})
    open_wide(world)
    call = new_call(world).start()
    seen = raceway.metrics().total("raceway_turn_requests_total", method="allocate")
    begun = world.now()
    spoof(world, 20_000, one_prefix, request)
    world.wait(0.5)
    seconds = world.now() - begun
    metrics = raceway.metrics()
    seen = metrics.total("raceway_turn_requests_total", method="allocate") - seen
    assert 50 < seen <= 50 * (seconds + 3), f"control saw {seen} requests in {seconds:.1f} s"
    assert new_client(world).allocate(), "another prefix is served"
    call.stop()
    assert call.lost == 0, call
    assert metrics.total("raceway_drops_total", path="worker", reason="stun_budget") > 1000, metrics.text


@test("a flood of short requests from one prefix leaves control to others, by workers alone", seconds=90)
def short_flood(world):
    control_is_spared(world, allocate_request, WORKERS_ONLY)


@test("a flood of forged credentials from one prefix leaves control to others, by workers alone", seconds=90)
def forged_flood(world):
    control_is_spared(world, forged_request, WORKERS_ONLY)


@test("a flood of forged credentials from one prefix leaves control to others, with XDP", seconds=90)
def forged_flood_xdp(world):
    control_is_spared(world, forged_request, {})


def received(sock):
    """What waits in a socket."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError), sock:
        while True:
            yield sock.recv(2048)


@test("nonsense on the TURN port is counted and hurts nobody")
def nonsense(world):
    raceway = Raceway(world)
    call = new_call(world).start()
    sock = world.net.client.udp(Network.CLIENT)
    chance = random.Random(2)
    good = allocate_request(1)
    for _ in range(5000):
        octets = bytearray(chance.choice((good, chance.randbytes(chance.randrange(1, 200)), b"\x40\x00\xff\xff1234")))
        octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
        sock.sendto(octets, (Network.SERVER, PORT))
    sock.close()
    world.wait(0.5)
    call.stop()
    assert call.lost == 0, call
    assert raceway.relay.alive() and raceway.control.alive()
    assert raceway.metrics().total("raceway_drops_total") > 1000
