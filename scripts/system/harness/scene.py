"""Clients and peers as most tests need them."""

from .media import Call, Peer
from .net import Network
from .server import PASSWORD, SERVER, USER
from .turn import Client, Refused


def new_client(world, user=USER, password=PASSWORD, host=Network.CLIENT, server=SERVER):
    return world.use(Client.open(world.net.client, host, server, user, password))


def new_peer(world, host=Network.PEER, echo=False):
    return world.use(Peer(world.net.peer.udp(host), echo))


def new_call(world, lifetime=None, per_second=200):
    """A client with an allocation and a bound channel to a new peer, not started."""
    client, peer = new_client(world), new_peer(world)
    client.allocate(lifetime)
    client.bind(0x4000, peer.address)
    return Call(client, peer, per_second=per_second)


def refusal(function, *arguments, **named):
    """The error code that a request gets; a success is a failure."""
    try:
        function(*arguments, **named)
    except Refused as refused:
        return refused.code
    raise AssertionError(f"not refused: {function.__name__}{arguments}")


def works(world, client, peer, number, timeout=2.0):
    """Whether a packet through a channel comes back from an echoing peer, for at most `timeout` seconds."""
    got = []
    client.on_data = lambda arrival, source, payload: got.append(payload)
    for _ in range(int(timeout / 0.1)):
        client.send_channel(number, b"are you there?")
        world.wait(0.1)
        if b"are you there?" in got:
            return True
    return False
