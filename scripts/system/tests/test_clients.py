"""coturn's own clients against Raceway."""

from harness.net import Network
from harness.runner import test
from harness.scene import new_client, new_peer, works
from harness.server import SECRET, SECRET_BEFORE, WORKERS_ONLY, Raceway, xdp_share
from harness.turn import rest_credentials
from harness.uclient import echo_peer, uclient

MEDIA = ("-m", "4", "-n", "100", "-l", "172")
MESSAGES = 400


def relayed_in_xdp(world, *options, changes=None, **where):
    """Runs channels and expects every message back, 99 % of them by way of XDP."""
    raceway = Raceway(world, changes)
    echo_peer(world)
    before = raceway.metrics()
    uclient(world, *MEDIA, *options, **where).expect_all(MESSAGES)
    share = xdp_share(before, raceway.metrics())
    assert share >= 0.99, f"only {share:.1%} of the packets were relayed in XDP"


@test("channels are relayed in XDP")
def channels(world):
    relayed_in_xdp(world)


@test("channels over IPv6 are relayed in XDP")
def channels_v6(world):
    relayed_in_xdp(world, "-x", server=Network.SERVER6, peer=Network.PEER6)


@test("channels from an IPv4 client to an IPv6 peer are relayed in XDP")
def channels_4_to_6(world):
    relayed_in_xdp(world, "-x", peer=Network.PEER6)


@test("channels from an IPv6 client to an IPv4 peer are relayed in XDP")
def channels_6_to_4(world):
    relayed_in_xdp(world, server=Network.SERVER6)


@test("channels in generic XDP are relayed in XDP")
def channels_generic(world):
    relayed_in_xdp(world, changes={"relay": {"xdp": "generic"}})


@test("clients of one relay reach each other in XDP (hairpin)")
def client_to_client(world):
    relayed_in_xdp(world, "-y", peer=None)


@test("channels are relayed by workers when XDP is off")
def channels_workers(world):
    raceway = Raceway(world, WORKERS_ONLY)
    echo_peer(world)
    uclient(world, *MEDIA).expect_all(MESSAGES)
    metrics = raceway.metrics()
    assert metrics.packets("xdp") == 0 and metrics.packets("worker") >= 2 * MESSAGES


@test("clients of one relay reach each other through workers (hairpin)")
def client_to_client_workers(world):
    Raceway(world, WORKERS_ONLY)
    uclient(world, *MEDIA, "-y", peer=None).expect_all(MESSAGES)


@test("Send and Data indications are relayed")
def indications(world):
    Raceway(world)
    echo_peer(world)
    uclient(world, *MEDIA, "-s").expect_all(MESSAGES)


@test("Send and Data indications are relayed over IPv6 and between families")
def indications_v6(world):
    Raceway(world)
    echo_peer(world)
    few = ("-m", "2", "-n", "20", "-l", "172", "-s")
    uclient(world, *few, "-x", server=Network.SERVER6, peer=Network.PEER6).expect_all(40)
    uclient(world, *few, "-x", peer=Network.PEER6).expect_all(40)
    uclient(world, *few, server=Network.SERVER6).expect_all(40)


@test("both families of one allocation are relayed")
def dual_allocation(world):
    # turnutils_uclient -Z asks with an attribute of a draft (0x8032); the RFC's is 0x8000.
    raceway = Raceway(world)
    client, peers = new_client(world), [new_peer(world, host, echo=True) for host in (Network.PEER, Network.PEER6)]
    client.allocate(both=True)
    assert sorted(host for host, _ in client.relayed) == [Network.RELAYED, Network.RELAYED6], client.relayed
    for number, peer in enumerate(peers, 0x4000):
        client.bind(number, peer.address)
        assert works(world, client, peer, number), peer.address
    assert raceway.metrics().total("raceway_turn_allocations", family="ipv6") == 1


@test("REST credentials of each shared secret are accepted")
def rest_secrets(world):
    Raceway(world)
    echo_peer(world)
    for secret in (SECRET, SECRET_BEFORE):
        user, password = rest_credentials(secret, "alice")
        uclient(world, "-m", "1", "-n", "20", user=user, password=password).expect_all(20)
    uclient(world, "-m", "1", "-n", "20", "-W", SECRET, user="alice").expect_all(20)


@test("a wrong password relays nothing")
def wrong_password(world):
    raceway = Raceway(world)
    echo_peer(world)
    tally = uclient(world, "-m", "1", "-n", "5", password="wrong", seconds=30)
    assert tally.received == 0, tally.text
    assert raceway.metrics().packets("xdp") + raceway.metrics().packets("worker") == 0


@test("a second channel to the same peer gets 400")
def negative_channel(world):
    Raceway(world)
    echo_peer(world)
    text = uclient(world, "-m", "1", "-n", "20", "-N").text
    assert "channel bind: error 400" in text, text


@test("a long run of many clients loses nothing", seconds=120)
def long_run(world):
    raceway = Raceway(world)
    echo_peer(world)
    before = raceway.metrics()
    uclient(world, "-m", "20", "-n", "1000", "-l", "172", seconds=110).expect_all(20_000)
    after = raceway.metrics()
    assert xdp_share(before, after) >= 0.99


@test("turnutils_stunclient learns its address over IPv4 and IPv6")
def stunclient(world):
    Raceway(world)
    for server, own in ((Network.SERVER, Network.CLIENT), (Network.SERVER6, Network.CLIENT6)):
        process = world.start("stunclient", world.net.client.command("turnutils_stunclient", server))
        process.wait(20)
        assert own in process.output(), process.output()
