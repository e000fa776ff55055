"""Packets that are not the usual ones: large, translated, refused by the peer's kernel, too many."""

from harness import stun
from harness.net import Network
from harness.process import wait_for
from harness.runner import test
from harness.scene import new_call, new_client, new_peer
from harness.server import PORT, WORKERS_ONLY, Raceway, xdp_share

EXTERNAL = "198.51.100.5"


def received_by(thing):
    """A list that fills with the payloads that a client or peer gets."""
    got = []
    thing.on_data = lambda arrival, source, payload: got.append(payload)
    return got


def large(world, changes=None):
    """Sizes around the MTU of 1500, where a header more makes two fragments."""
    Raceway(world, changes)
    for host in (Network.PEER, Network.PEER6):
        client, peer = new_client(world), new_peer(world, host)
        relayed = client.allocate(family=6 if ":" in host else 4)
        client.bind(0x4000, peer.address)
        out, back = received_by(peer), received_by(client)
        for size in (1430, 1448, 1452, 1464, 1468, 1472, 1473, 1800):
            payload = size.to_bytes(2, "big") + bytes(size - 2)
            client.send_channel(0x4000, payload)
            wait_for(f"{size} octets at the peer {host}", lambda: payload in out, 3)  # noqa: B023
            peer.sock.sendto(payload, relayed)
            wait_for(f"{size} octets at the client of {host}", lambda: payload in back, 3)  # noqa: B023


@test("datagrams around and above the MTU arrive whole, with XDP")
def large_xdp(world):
    large(world)


@test("datagrams around and above the MTU arrive whole, by workers")
def large_workers(world):
    large(world, WORKERS_ONLY)


def behind_nat(world, changes=None):
    """Clients know each other by the address that the world sees."""
    changes = {"turn": {"external_addresses": {Network.RELAYED: EXTERNAL}}, **(changes or {})}
    raceway = Raceway(world, changes)
    left, right = new_client(world), new_client(world)
    addresses = left.allocate(), right.allocate()
    assert all(host == EXTERNAL for host, _ in addresses), addresses
    left.bind(0x4000, addresses[1])
    right.bind(0x4001, addresses[0])
    got = received_by(right)
    before = raceway.metrics()
    for _ in range(100):
        left.send_channel(0x4000, b"by the outer address")
        world.wait(0.002)
    wait_for("all of them", lambda: len(got) >= 100, 3)
    return xdp_share(before, raceway.metrics())


@test("clients behind a 1:1 NAT reach each other by external addresses, in XDP")
def nat_xdp(world):
    share = behind_nat(world)
    assert share >= 0.99, f"only {share:.1%} of the packets were relayed in XDP"


@test("clients behind a 1:1 NAT reach each other by external addresses, through workers")
def nat_workers(world):
    assert behind_nat(world, WORKERS_ONLY) == 0


@test("an ICMP error from a peer reaches the client")
def icmp(world):
    Raceway(world)
    client, peer = new_client(world), new_peer(world)
    closed = peer.address
    peer.close()
    client.allocate()
    client.permit(closed[0])
    told = []
    client.on_indication = told.append
    for _ in range(5):
        client.send_indication(closed, b"anybody there?")
        world.wait(0.2)
    errors = [message for message in told if message.get(stun.ICMP)]
    assert errors, "no Data indication with an ICMP attribute"
    assert errors[0].get(stun.ICMP) == bytes([0, 0, 3, 3, 0, 0, 0, 0]), "not port unreachable"
    assert errors[0].address(stun.XOR_PEER_ADDRESS) == closed


@test("a far end that loses what XDP sends is noticed during a call, and so is its return", seconds=60)
def deaf_far_end(world):
    raceway = Raceway(world, {"relay": {"xdp": "auto"}})
    call = new_call(world).start()

    def native():
        return raceway.metrics().total("raceway_xdp_info", mode="native")

    def lost_in(seconds):
        before = call.lost
        world.wait(seconds)
        return call.lost - before

    assert native() == 2
    world.net.ceases_to_poll("p0")
    wait_for("the peer's side to be driven by the kernel", lambda: native() == 1, 10)
    assert lost_in(2) < 5, call
    world.net.polls(world.net.peer, "p0")
    wait_for("the peer's side to be driven natively", lambda: native() == 2, 10)
    before = raceway.metrics()
    assert lost_in(2) < 5, call
    call.stop()
    assert xdp_share(before, raceway.metrics()) >= 0.99


@test("more STUN requests of one prefix than its budget are dropped in XDP, and calls go on")
def stun_budget(world):
    raceway = Raceway(world, {"turn.policy": {"stun_requests_per_second": 50}})
    call = new_call(world).start()
    sock = world.net.client.udp("10.77.1.2")
    request = stun.Message(stun.BINDING, stun.REQUEST).encode()
    for _ in range(2000):
        sock.sendto(request, (Network.SERVER, PORT))
    world.wait(0.5)
    call.stop()
    sock.close()
    assert raceway.metrics().total("raceway_drops_total", path="xdp", reason="stun_budget") > 1500
    assert call.lost == 0, call
