"""Running it: reload, drain, figures, bad configuration, fewer rights."""

import json
import os
import shutil
import signal
import subprocess

from harness.net import Network
from harness.process import wait_for
from harness.runner import test
from harness.scene import new_call, new_client, new_peer, refusal, works
from harness.server import BASE, PASSWORD, PORT, USER, WORKERS_ONLY, Raceway, configuration, merged


def reload_by_signal(raceway):
    raceway.control.child.send_signal(signal.SIGHUP)


def reload_by_racewayctl(raceway):
    raceway.ctl("reload")


def reload_under_load(world, reload):
    raceway = Raceway(world)
    call = new_call(world).start()
    world.wait(0.3)
    assert refusal(new_client(world, "carol", "carol's").allocate) == 401
    users = {USER: PASSWORD, "carol": "carol's"}
    raceway.reconfigure({"turn.auth": {"users": users}, "turn.policy": {"quota_per_user": 1}})
    reload(raceway)

    def accepted():
        try:
            return new_client(world, "carol", "carol's").allocate()
        except AssertionError:
            return None

    wait_for("the new user", accepted, 5)
    assert refusal(new_client(world).allocate) == 486
    assert call.client.refresh(600) == 600
    call.stop()
    assert call.out.sent > 50 and call.lost == 0, call


@test("SIGHUP under load applies the new file and loses nothing")
def reload_signal(world):
    reload_under_load(world, reload_by_signal)


@test("racewayctl reload under load applies the new file and loses nothing")
def reload_command(world):
    reload_under_load(world, reload_by_racewayctl)


@test("a bad reload says where and changes nothing")
def bad_reload(world):
    raceway = Raceway(world)
    client = new_client(world)
    client.allocate()
    raceway.reconfigure({"turn.policy": {"quota_totl": 3}, "turn.auth": {"users": {"carol": "carol's"}}})
    reload_by_signal(raceway)
    wait_for("the complaint", lambda: "quota_totl" in raceway.control.output(), 5)
    assert "raceway.toml:" in raceway.control.output(), raceway.control.output()
    assert client.refresh(600) == 600
    new_client(world).allocate()
    assert refusal(new_client(world, "carol", "carol's").allocate) == 401


@test("drain refuses new allocations and keeps the old")
def drain(world):
    raceway = Raceway(world)
    call = new_call(world).start()
    raceway.ctl("drain")
    code = refusal(new_client(world).allocate)
    assert code in (486, 508), code
    assert call.client.refresh(600) == 600
    call.client.bind(0x4001, new_peer(world).address)
    world.wait(0.3)
    call.stop()
    assert call.lost == 0, call


@test("promtool finds nothing wrong with the metrics")
def metrics_clean(world):
    raceway = Raceway(world)
    call = new_call(world).start()
    world.wait(1)
    call.stop()
    text = raceway.http("/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=20)
    assert checked.returncode == 0 and not (checked.stdout + checked.stderr).strip(), checked.stdout + checked.stderr
    for name in ("raceway_packets_total", "raceway_octets_total", "raceway_drops_total", "raceway_turn_requests_total",
                 "raceway_turn_allocations", "raceway_flows", "raceway_sessions", "raceway_rtp_lost_total",
                 "raceway_rtp_jitter_seconds_bucket", "raceway_xdp_info", "raceway_worker_busy_ratio",
                 "raceway_punt_latency_seconds_bucket", "raceway_control_restarts_total", "raceway_build_info"):
        assert name in text, f"{name} is missing"


@test("figures of the metrics are those of the wire")
def metrics_true(world):
    raceway = Raceway(world)
    call = new_call(world)
    before = raceway.metrics()
    call.start()
    world.wait(1)
    call.stop()
    after = raceway.metrics()
    for stream, direction in ((call.out, "client_to_peer"), (call.back, "peer_to_client")):
        packets, octets = (after.total(name, direction=direction) - before.total(name, direction=direction)
                           for name in ("raceway_packets_total", "raceway_octets_total"))
        assert packets == stream.sent and octets == 172 * stream.sent, f"{packets}, {octets}: {stream}"
    assert after.total("raceway_sessions") == 1
    assert after.total("raceway_xdp_info", mode="native") == 2, after.text


@test("racewayctl speaks JSON about what is there")
def racewayctl(world):
    raceway = Raceway(world)
    new_call(world)
    for command in ("status", "sessions", "flows", "doctor"):
        answer = json.loads(raceway.ctl(command, "--json", check=False))
        assert answer, command
        assert raceway.ctl(command, check=False).strip(), command
    assert PASSWORD not in raceway.ctl("status") + raceway.ctl("sessions")


@test("without root it relays by workers alone and says so")
def not_root(world):
    world.directory.chmod(0o777)
    raceway = Raceway(world, {"relay": {"xdp": "auto", "pin_dir": None}}, start=False)
    os.chmod(raceway.file, 0o644)
    account = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    binaries = world.directory / "bin"
    shutil.copytree(world.binaries, binaries, ignore=lambda _, names: [n for n in names if not n.startswith("raceway")])
    world.binaries = binaries
    for name in ("relay", "control"):
        command = world.net.relay.command(*account, binaries / f"raceway-{name}", "--config", raceway.file)
        setattr(raceway, name, world.start(name, command))
    raceway.wait_ready()
    peer = new_peer(world, echo=True)
    client = new_client(world)
    client.allocate()
    client.bind(0x4000, peer.address)
    assert works(world, client, peer, 0x4000)
    metrics = raceway.metrics()
    assert metrics.total("raceway_xdp_info", mode="off") >= 1 and metrics.packets("xdp") == 0, metrics.text


def refused_configuration(world, changes, *expected):
    """raceway-control --check must fail and name all of `expected`."""
    own = {"node": {"state_dir": str(world.directory / "state"), "run_dir": str(world.directory / "run")}}
    file = configuration(world.directory, merged(merged(BASE, own), changes))
    command = world.net.relay.command(world.binaries / "raceway-control", "--check", "--config", file)
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    said = done.stdout + done.stderr
    assert done.returncode != 0, f"accepted: {changes}"
    for word in ("raceway.toml:", *expected):
        assert word in said, f"{word!r} is not in:\n{said}"


@test("a bad configuration is refused with file, line, key and what would be right")
def bad_configuration(world):
    refused_configuration(world, {"turn": {"lisen": ["10.77.1.1:3478"]}}, "lisen", "listen")
    refused_configuration(world, {"turn": {"port_range": "60000-50000"}}, "port_range", "60000")
    refused_configuration(world, {"turn": {"port_range": "3000-4000"}}, "listen", "3478", "3000-4000")
    refused_configuration(world, {"relay": {"xdp": "yes"}}, "xdp", "native")
    refused_configuration(world, {"turn": {"lifetime_default_s": 0}}, "lifetime_default_s")
    refused_configuration(world, {"turn.policy": {"allow_peers": ["10.0.0.0/33"]}}, "allow_peers", "10.0.0.0/33")


@test("a directory that this account cannot write to is refused before anything starts")
def foreign_directory(world):
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    world.directory.chmod(0o755)
    own = {"node": {"state_dir": str(world.directory / "state"), "run_dir": str(world.directory / "run")}}
    file = configuration(world.directory, merged(BASE, own))
    check = (world.binaries / "raceway-control", "--check", "--config", file)
    done = subprocess.run(world.net.relay.command(*nobody, *check), capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and f"{world.directory} cannot be written to" in done.stderr, done.stdout + done.stderr
    assert "run_dir" in done.stderr and not (world.directory / "state").exists(), done.stderr


@test("an address that is not here is refused before anything starts")
def foreign_address(world):
    refused_configuration(world, {"turn": {"listen": ["198.51.100.7:3478"]}}, "listen", "198.51.100.7")
    refused_configuration(world, {"turn": {"relay_addresses": ["198.51.100.7"]}}, "relay_addresses", "198.51.100.7")


@test("a port that is taken is named")
def port_taken(world):
    taken = world.net.relay.udp(Network.SERVER, PORT)
    raceway = Raceway(world, WORKERS_ONLY, start=False)
    raceway.start_relay()
    raceway.start_control()
    said = lambda: raceway.relay.output() + raceway.control.output()  # noqa: E731
    wait_for("a word about the port", lambda: f"{Network.SERVER}:{PORT}" in said() and "use" in said(), 10)
    taken.close()


@test("SIGTERM ends both cleanly and quickly")
def stop(world):
    raceway = Raceway(world)
    new_call(world)
    assert raceway.control.interrupt(5) == 0, raceway.control.output()
    assert raceway.relay.interrupt(5) == 0, raceway.relay.output()
    assert "panicked" not in raceway.control.output() + raceway.relay.output()
