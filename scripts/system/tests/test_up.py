"""scripts/up as a newcomer runs it, in the relay namespace."""

import os
import pathlib
import pty
import select
import signal
import time

from harness.net import Network, run
from harness.process import wait_for
from harness.runner import test
from harness.scene import new_client, new_peer, works
from harness.server import Raceway, configuration
from harness.turn import NoAnswer

SCRIPTS = pathlib.Path(__file__).resolve().parents[2]


def up(world, raceway):
    """scripts/up in the foreground, ready."""
    environment = {"CARGO_TARGET_DIR": str(world.binaries.parent), "CARGO_NET_OFFLINE": "true"}
    command = world.net.relay.command(SCRIPTS / "up", "--config", raceway.file)
    started = world.start(f"up-{world.now():.0f}", command, environment=environment)
    wait_for("up is ready", lambda: "Ready" in started.output() or not started.alive(), 150)
    assert started.alive(), started.output()
    return started


def children(pid):
    """Processes started by `pid`, by program name."""
    found = {}
    for line in run("ps", "-o", "pid=,comm=", "--ppid", str(pid)).splitlines():
        number, name = line.split(None, 1)
        found[name] = int(number)
    return found


def refreshed(client):
    try:
        return client.refresh(600)
    except NoAnswer:
        return None


@test("up starts both, starts either again when it dies, and leaves nothing behind", seconds=240)
def up_and_down(world):
    raceway = Raceway(world, start=False)
    started = up(world, raceway)
    client, peer = new_client(world), new_peer(world, echo=True)
    client.allocate()
    client.bind(0x4000, peer.address)
    assert works(world, client, peer, 0x4000)
    for name in ("raceway-control", "raceway-relay"):
        old = children(started.pid)[name]
        os.kill(old, signal.SIGKILL)
        wait_for(f"another {name}", lambda: children(started.pid).get(name, old) != old, 10)  # noqa: B023
        assert f"{name} ended (signal KILL)" in started.output(), started.output()
        # The one that lives teaches the other: only then may it die itself.
        wait_for("a refresh", lambda: refreshed(client), 10)
    assert works(world, client, peer, 0x4000)
    programs = [children(started.pid)[name] for name in ("raceway-control", "raceway-relay")]
    assert started.interrupt(20, signal.SIGINT) == 0, started.output()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in programs), "a program is still there"
    left = [path.name for path in (world.directory / "run").iterdir()]
    assert not left, f"left in the run directory: {left}"
    pinned = [str(path) for path in (raceway.bpffs / "raceway").rglob("*") if not path.is_dir()]
    assert not pinned, f"still pinned: {pinned}"
    for interface in ("rc", "rp"):
        assert "xdp" not in world.net.relay.ip("link", "show", "dev", interface), f"XDP is still on {interface}"
    again = up(world, raceway)
    new_client(world).allocate()
    assert again.interrupt(20, signal.SIGINT) == 0, again.output()


@test("up with a bad configuration starts nothing and says why", seconds=180)
def up_refuses(world):
    file = configuration(world.directory, {"turn": {"lisen": [f"{Network.SERVER}:3478"]}})
    environment = {"CARGO_TARGET_DIR": str(world.binaries.parent), "CARGO_NET_OFFLINE": "true"}
    command = world.net.relay.command(SCRIPTS / "up", "--config", file)
    started = world.start("up", command, environment=environment)
    assert started.wait(150) != 0
    assert "lisen" in started.output() and "Nothing was started" in started.output(), started.output()


@test("up starts nothing when a directory of its own cannot be made")
def up_without_directory(world):
    (world.directory / "plain").write_text("")
    raceway = Raceway(world, {"node": {"state_dir": str(world.directory / "plain" / "state")}}, start=False)
    environment = {"CARGO_TARGET_DIR": str(world.binaries.parent), "CARGO_NET_OFFLINE": "true"}
    started = world.start("up", world.net.relay.command(SCRIPTS / "up", "--config", raceway.file), environment=environment)
    assert started.wait(150) != 0
    assert "plain is not a directory" in started.output() and "Nothing was started" in started.output(), started.output()


@test("up with a configuration file that is not there says so")
def up_without_file(world):
    started = world.start("up", [SCRIPTS / "up", "--config", world.directory / "none.toml"])
    assert started.wait(20) != 0 and "none.toml" in started.output(), started.output()


@test("up ends when a program does not start", seconds=200)
def up_cannot_start(world):
    # What the check before a start cannot see: the file of credentials is none.
    (world.directory / "own" / "credentials.toml").mkdir(parents=True)
    raceway = Raceway(world, {"node": {"state_dir": str(world.directory / "own")}}, start=False)
    environment = {"CARGO_TARGET_DIR": str(world.binaries.parent), "CARGO_NET_OFFLINE": "true"}
    command = world.net.relay.command(SCRIPTS / "up", "--config", raceway.file)
    started = world.start("up", command, environment=environment)
    assert started.wait(150) == 1, started.output()
    assert "own/credentials.toml" in started.output(), started.output()
    assert "raceway-control did not start" in started.output() and "Stopped" in started.output(), started.output()


@test("up ends when its terminal is closed", seconds=240)
def up_hung_up(world):
    raceway = Raceway(world, start=False)
    command = [str(part) for part in world.net.relay.command(SCRIPTS / "up", "--config", raceway.file)]
    environment = {"CARGO_TARGET_DIR": str(world.binaries.parent), "CARGO_NET_OFFLINE": "true"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, os.environ | environment)

    def says(text, seconds=40):
        said, end = b"", time.monotonic() + seconds
        while text not in said and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 4096)
        assert text in said, said.decode()

    says(b"Ready", 150)
    os.kill(pid, signal.SIGHUP)
    says(b"nothing has changed")
    os.close(terminal)
    wait_for("up has ended", lambda: os.waitpid(pid, os.WNOHANG) == (pid, 0), 20)
    assert not list((world.directory / "run").iterdir()), "a program is still there"
