"""Who may die: the crash matrix of docs/ARCHITECTURE.md."""

import time

from harness.net import run
from harness.process import wait_for
from harness.runner import test
from harness.scene import new_call, new_client, new_peer, works
from harness.server import WORKERS_ONLY, Raceway


def whole_again(world, call):
    """Refresh, a new channel and a new allocation work."""
    assert call.client.refresh(600) == 600
    other = new_peer(world, echo=True)
    call.client.bind(0x4001, other.address)
    fresh = new_client(world)
    fresh.allocate()
    fresh.bind(0x4000, other.address)
    assert works(world, fresh, other, 0x4000), "a new allocation does not relay"


def control_dies(world, changes=None):
    raceway = Raceway(world, changes)
    call = new_call(world).start()
    world.wait(0.5)
    raceway.control.kill()
    world.wait(1.0)
    raceway.start_control()
    whole_again(world, call)
    world.wait(0.5)
    call.stop()
    assert call.out.sent > 300 and call.lost == 0, call
    sessions = raceway.metrics().total("raceway_sessions")
    assert sessions == 2, f"{sessions} sessions of 2"


@test("kill -9 of control loses no packet in XDP and it resumes whole")
def control_dies_xdp(world):
    control_dies(world)


@test("kill -9 of control loses no packet of a worker and it resumes whole")
def control_dies_workers(world):
    control_dies(world, WORKERS_ONLY)


@test("kill -9 of the relay loses no packet in XDP")
def relay_dies_xdp(world):
    raceway = Raceway(world)
    call = new_call(world).start()
    world.wait(0.5)
    raceway.relay.kill()
    world.wait(1.0)
    raceway.start_relay()
    world.wait(2.0)
    raceway.wait_ready()
    whole_again(world, call)
    call.stop()
    assert call.out.sent > 600 and call.lost == 0, call


@test("after kill -9 of the relay a worker's flow resumes within a second")
def relay_dies_workers(world):
    raceway = Raceway(world, WORKERS_ONLY)
    call = new_call(world).start()
    world.wait(0.5)
    raceway.relay.kill()
    raceway.start_relay()
    world.wait(2.5)
    call.stop()
    for stream in (call.out, call.back):
        assert stream.longest_silence() < 1.0, call
        assert stream.last_arrival() > stream.sent_at[-1] - 0.2, f"stopped for good: {call}"
    whole_again(world, call)


@test("when both die an XDP flow runs on until its expiry and then stops")
def both_die(world):
    lifetime = 4
    raceway = Raceway(world, {"turn": {"lifetime_default_s": lifetime}})
    call = new_call(world)
    call.client.refresh(lifetime)
    expiry = time.monotonic() + lifetime
    call.start()
    world.wait(0.5)
    raceway.control.kill()
    raceway.relay.kill()
    world.wait(expiry + 1.5 - time.monotonic())
    call.stop()
    for stream in (call.out, call.back):
        before = [number for number in stream.lost_numbers() if stream.sent_at[number] < expiry - 0.5]
        assert not before, f"{len(before)} lost before the expiry: {call}"
        assert stream.last_arrival() < expiry + 0.5, f"{stream.last_arrival() - expiry:.1f} s beyond the expiry"


@test("a relay that finds pins of another version refuses, and touches nothing")
def other_version(world):
    raceway = Raceway(world)
    call = new_call(world).start()
    world.wait(0.3)
    raceway.relay.kill()
    pins = raceway.bpffs / "raceway"
    (version,) = pins.glob("v*")
    version.rename(pins / "v999")
    before = run("find", pins)
    raceway.start_relay()
    assert raceway.relay.wait(10) != 0, "it started"
    said = raceway.relay.output()
    assert "999" in said and "detach" in said, said
    assert run("find", pins) == before
    call.stop()
    assert call.lost == 0, call


@test("a relay killed at rest and started again keeps no dead session")
def adopted_and_forgotten(world):
    raceway = Raceway(world, {"turn": {"lifetime_default_s": 2}})
    client = new_client(world)
    client.allocate(2)
    raceway.relay.kill()
    raceway.control.kill()
    world.wait(2.5)
    raceway.start()
    wait_for("no session", lambda: raceway.metrics().total("raceway_sessions") == 0, 5)
    wait_for("no flow", lambda: raceway.metrics().total("raceway_flows") == 0, 5)


@test("control that starts before the relay waits for it")
def control_first(world):
    raceway = Raceway(world, start=False)
    raceway.start_control()
    world.wait(1.0)
    assert raceway.control.alive(), raceway.control.output()
    raceway.start_relay()
    raceway.wait_ready()
    new_client(world).allocate()
