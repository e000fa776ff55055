"""The harness against coturn: what fails against Raceway and passes here is Raceway's."""

from harness.media import Call, Peer
from harness.net import Network
from harness.runner import test
from harness.server import PASSWORD, SERVER, USER, Coturn
from harness.turn import Client, Refused
from harness.uclient import echo_peer, uclient


@test("coturn relays turnutils_uclient's channels")
def channels(world):
    Coturn(world)
    echo_peer(world)
    uclient(world, "-m", "4", "-n", "50", "-l", "172").expect_all(200)


@test("coturn relays the harness's own client, both ways without loss")
def own_client(world):
    Coturn(world)
    client = world.use(Client.open(world.net.client, Network.CLIENT, SERVER, USER, PASSWORD))
    peer = world.use(Peer(world.net.peer.udp(Network.PEER)))
    client.allocate()
    client.bind(0x4000, peer.address)
    call = Call(client, peer).start()
    assert client.refresh(600) == 600
    world.wait(2)
    call.stop()
    assert call.out.sent > 300 and call.lost == 0, call


@test("coturn refuses the harness's own client with a wrong password")
def wrong_password(world):
    Coturn(world)
    client = world.use(Client.open(world.net.client, Network.CLIENT, SERVER, USER, "wrong"))
    try:
        client.allocate()
    except Refused as refused:
        assert refused.code == 401, refused
    else:
        raise AssertionError("allocated")
