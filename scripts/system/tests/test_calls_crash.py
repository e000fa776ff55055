"""Who may die while calls are up: the crash matrix of docs/ARCHITECTURE.md."""

from harness.net import Network
from harness.ng import AnchoredCall, Proxy
from harness.runner import test
from harness.server import WORKERS_ONLY, Raceway, merged, xdp_share

CALLS = {"ng": {"listen": ["127.0.0.1:2223"]},
         "media": {"interfaces": {"ext": Network.SERVER}, "port_range": "30000-39999"}}


def started(world, changes=None):
    """A server and a call that XDP relays, if it is to, by the time that this ends."""
    raceway = Raceway(world, merged(CALLS, changes or {}))
    proxy = Proxy(world)
    call = AnchoredCall(world, proxy).start()
    # Endpoints are learned in the first three seconds.
    world.wait(4.0)
    return raceway, proxy, call


def share_of_xdp(world, raceway):
    before = raceway.metrics()
    world.wait(0.5)
    return xdp_share(before, raceway.metrics())


def goes_on(world, proxy, call):
    """The call is known, another one can be made, and both end."""
    assert proxy.ask("query", call_id=call.call_id)["tags"], "the call is not known any more"
    other = AnchoredCall(world, proxy, "another").start()
    world.wait(0.5)
    other.stop()
    assert other.out.sent > 50 and other.lost == 0, other
    for ended in (other, call):
        ended.delete()
    assert proxy.command("query", call_id=call.call_id)["result"] == "error"


def control_dies(world, changes=None):
    raceway, proxy, call = started(world, changes)
    share = share_of_xdp(world, raceway)
    raceway.control.kill()
    world.wait(1.0)
    raceway.start_control()
    raceway.wait_ready()
    world.wait(1.0)
    call.stop()
    assert call.out.sent > 1000 and call.lost == 0, call
    goes_on(world, proxy, call)
    return share


@test("kill -9 of control: a call in XDP loses no packet, and is ended by who made it")
def control_dies_xdp(world):
    share = control_dies(world)
    assert share > 0.95, f"{share:.0%} of the packets in XDP"


@test("kill -9 of control: a call of a worker loses no packet, and is ended by who made it")
def control_dies_workers(world):
    control_dies(world, WORKERS_ONLY)


@test("kill -9 of the relay: a call in XDP loses no packet")
def relay_dies_xdp(world):
    raceway, proxy, call = started(world)
    raceway.relay.kill()
    world.wait(1.0)
    raceway.start_relay()
    raceway.wait_ready()
    world.wait(2.0)
    call.stop()
    assert call.out.sent > 1000 and call.lost == 0, call
    goes_on(world, proxy, call)


@test("kill -9 of the relay: a call of a worker resumes within a second")
def relay_dies_workers(world):
    raceway, proxy, call = started(world, WORKERS_ONLY)
    raceway.relay.kill()
    raceway.start_relay()
    world.wait(2.5)
    call.stop()
    for stream in (call.out, call.back):
        assert stream.longest_silence() < 1.0, call
        assert stream.last_arrival() > stream.sent_at[-1] - 0.2, f"stopped for good: {call}"
    goes_on(world, proxy, call)
