"""What a client may not do."""

import time

from harness.media import Peer
from harness.net import Network
from harness.process import wait_for
from harness.runner import test
from harness.scene import new_call, new_client, new_peer, refusal, works
from harness.server import PASSWORD, USER, WORKERS_ONLY, Raceway
from harness.turn import Refused


@test("peers that nobody allowed are refused with 403")
def denied_peers(world):
    Raceway(world, {"turn.policy": {"allow_peers": None}})
    client = new_client(world)
    client.allocate(both=True)
    for host in ("127.0.0.1", "10.77.2.2", "192.168.1.1", "172.16.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0",
                 "255.255.255.255", "100.64.0.1", "::1", "fe80::1", "fd77:2::2", "ff02::1", "::", "::ffff:127.0.0.1",
                 "::ffff:10.0.0.1", "64:ff9b::7f00:1", Network.SERVER, Network.SERVER6):
        assert refusal(client.permit, host) == 403, host
        assert refusal(client.bind, 0x4000, (host, 5000)) == 403, host
    client.permit("203.0.113.9")


@test("deny_peers narrows what allow_peers gives")
def deny_within_allow(world):
    Raceway(world, {"turn.policy": {"deny_peers": [f"{Network.PEER}/32"]}})
    client = new_client(world)
    client.allocate()
    assert refusal(client.permit, Network.PEER) == 403
    client.permit("10.77.2.3")


def own_services(world, changes=None):
    """Through its relayed address a client reaches nothing of this machine but other relayed addresses."""
    Raceway(world, changes)
    got = []
    client = new_client(world)
    client.allocate()
    # One port that Raceway never relays from, and one that it may but does not.
    for number, port in ((0x4000, 7777), (0x4001, 60_000)):
        service = world.use(Peer(world.net.relay.udp(Network.RELAYED, port)))
        service.on_data = lambda arrival, source, octets: got.append(octets)
        target = (Network.RELAYED, port)
        for step in (lambda: client.permit(target[0]), lambda: client.bind(number, target)):  # noqa: B023
            try:
                step()
            except Refused as refused:
                assert refused.code == 403, refused
        for _ in range(10):
            client.send_indication(target, b"indication to %d" % port)
            client.send_channel(number, b"channel to %d" % port)
    world.wait(0.5)
    assert not got, set(got)


@test("no service of this machine can be reached through a relayed address, in XDP")
def own_services_xdp(world):
    own_services(world)


@test("no service of this machine can be reached through a relayed address, by workers")
def own_services_workers(world):
    own_services(world, WORKERS_ONLY)


@test("the quota of a user is answered with 486")
def user_quota(world):
    Raceway(world, {"turn.policy": {"quota_per_user": 2}, "turn.auth": {"users": {USER: PASSWORD, "bob": "bob's"}}})
    clients = [new_client(world) for _ in range(3)]
    clients[0].allocate()
    clients[1].allocate()
    assert refusal(clients[2].allocate) == 486
    new_client(world, "bob", "bob's").allocate()
    assert clients[0].refresh(0) == 0
    clients[2].allocate()


@test("the total quota is answered with 486")
def total_quota(world):
    Raceway(world, {"turn.policy": {"quota_total": 2}, "turn.auth": {"users": {USER: PASSWORD, "bob": "bob's"}}})
    new_client(world).allocate()
    new_client(world, "bob", "bob's").allocate()
    assert refusal(new_client(world).allocate) == 486


@test("the flows of a user are answered with 508 on an allocation and 486 for another, and others go on")
def user_flows(world):
    Raceway(world, {"turn.policy": {"flows_per_user": 6}, "turn.auth": {"users": {USER: PASSWORD, "bob": "bob's"}}})
    peer = new_peer(world, echo=True)
    first, second, bob = new_client(world), new_client(world), new_client(world, "bob", "bob's")
    first.allocate()
    first.bind(0x4000, peer.address)
    first.permit("10.99.0.1")
    assert refusal(first.permit, "10.99.0.2") == 508
    assert refusal(first.bind, 0x4001, ("10.99.0.1", 9)) == 508
    assert refusal(second.allocate) == 486
    assert works(world, first, peer, 0x4000)
    bob.allocate()
    bob.bind(0x4000, peer.address)
    assert works(world, bob, peer, 0x4000)
    assert first.refresh(0) == 0
    second.allocate()


@test("a full flow table is answered with 508, and what is there goes on")
def full_table(world):
    raceway = Raceway(world, {"relay": {"flows_max": 64}, "turn.policy": {"flows_per_user": 0}})
    peer = new_peer(world, echo=True)
    client = new_client(world)
    client.allocate()
    client.bind(0x4000, peer.address)
    hosts = [f"10.99.0.{number}" for number in range(64 - 5)]
    client.permit(*hosts)
    for host in ("10.99.1.1", "10.99.1.2"):
        assert refusal(client.permit, host) == 508
    assert refusal(client.bind, 0x4001, (hosts[1], 9)) == 508
    assert refusal(new_client(world).allocate) == 508
    assert works(world, client, peer, 0x4000)
    client.bind(0x4000, peer.address)
    client.refresh()
    client.permit(*hosts)
    refused = raceway.metrics()
    for method, count in (("create_permission", 2), ("channel_bind", 1), ("allocate", 1)):
        assert refused.total("raceway_turn_requests_total", method=method, result="508") == count, method


@test("a wrong password, an unknown user and an expired REST name are refused with 401")
def wrong_credentials(world):
    Raceway(world)
    for user, password in ((USER, "wrong"), ("nobody", PASSWORD), (f"{int(time.time()) - 60}:alice", "x")):
        assert refusal(new_client(world, user, password).allocate) == 401, user


@test("a peer without permission does not reach the client")
def no_permission(world):
    raceway = Raceway(world)
    client, peer, stranger = new_client(world), new_peer(world), new_peer(world)
    relayed = client.allocate()
    got = []
    client.on_data = lambda arrival, source, payload: got.append(payload)
    for _ in range(20):
        stranger.sock.sendto(b"let me in", relayed)
    world.wait(0.5)
    assert not got
    assert raceway.metrics().total("raceway_drops_total", reason="no_permission") >= 20
    client.permit(peer.address[0])
    stranger.sock.sendto(b"same address, any port", relayed)
    world.wait(0.5)
    assert got == [b"same address, any port"]


@test("an allocation over its rate is policed in XDP")
def policed(world):
    rate = 200_000
    raceway = Raceway(world, {"turn.policy": {"bits_per_second_per_allocation": rate}})
    call = new_call(world, per_second=300).start()
    world.wait(3)
    call.stop()
    octets = (172 + 28) * 8
    for stream in (call.out, call.back):
        passed = (stream.sent - stream.lost) * octets / 3
        assert 0.6 * rate < passed < 1.8 * rate, f"{passed:.0f} of {rate} bit/s: {call}"
    assert raceway.metrics().total("raceway_drops_total", reason="policed") > 100


@test("a rate limit that a reload brings or takes away holds for allocations that are there")
def policed_later(world):
    raceway = Raceway(world)
    policed = lambda: raceway.metrics().total("raceway_drops_total", reason="policed")  # noqa: E731
    call = new_call(world, per_second=300).start()
    world.wait(0.5)
    assert policed() == 0
    raceway.reconfigure({"turn.policy": {"bits_per_second_per_allocation": 200_000}})
    raceway.ctl("reload")
    wait_for("drops", lambda: policed() > 100, 10)
    raceway.reconfigure({"turn.policy": {"bits_per_second_per_allocation": 0}})
    raceway.ctl("reload")
    dropped = policed()
    world.wait(0.5)
    call.stop()
    assert policed() <= dropped + 5, "still policed"


@test("a refresh with lifetime 0 stops the flow at once")
def deleted(world):
    raceway = Raceway(world)
    call = new_call(world).start()
    world.wait(0.5)
    assert call.client.refresh(0) == 0
    ended = time.monotonic()
    world.wait(0.5)
    call.stop()
    for stream in (call.out, call.back):
        assert stream.last_arrival() < ended + 0.1, call
    assert raceway.metrics().total("raceway_sessions") == 0


@test("two clients of one user do not share an allocation")
def separate(world):
    Raceway(world)
    peer = new_peer(world, echo=True)
    first, second = new_client(world), new_client(world)
    assert first.allocate() != second.allocate()
    first.bind(0x4000, peer.address)
    assert works(world, first, peer, 0x4000)
    assert not works(world, second, peer, 0x4000, 0.5)
