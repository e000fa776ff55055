"""Started with no configuration, as somebody does who has just built it."""

import os
import re
import shlex
import shutil

from harness.net import Network
from harness.process import wait_for
from harness.runner import test
from harness.uclient import Tally


def start(world, account=()):
    """Relay and control without options; the lines that control prints about itself."""
    environment = {"HOME": str(world.directory / "home"), "XDG_RUNTIME_DIR": str(world.directory / "home")}
    binaries = world.binaries
    if account:
        home, binaries = world.directory / "home", world.directory / "bin"
        home.mkdir()
        shutil.chown(home, 65534, 65534)
        binaries.mkdir()
        for name in ("raceway-relay", "raceway-control", "racewayctl"):
            shutil.copy2(world.binaries / name, binaries / name)
    programs = [world.start(name, world.net.relay.command(*account, binaries / f"raceway-{name}"), environment=environment)
                for name in ("relay", "control")]

    def ready():
        assert all(program.alive() for program in programs), "".join(program.output() for program in programs)
        text = programs[1].output()
        return text if re.search(r"workers +\d", text) else None

    return wait_for("the list of data paths", ready, 20)


def try_it(world, said):
    """Runs the printed command line where clients are, and on the machine itself."""
    line = re.search(r"try it +(turnutils_uclient .*)", said)[1]
    for where, namespace in (("client", world.net.client), ("machine", world.net.relay)):
        process = world.start(f"uclient-{where}", namespace.command(*shlex.split(line)))
        process.wait(60)
        tally = Tally(process.output())
        tally.expect_all(200)


def prints_all(said):
    for pattern in (rf"turn:{re.escape(Network.SERVER)}:3478", r"realm +\S+", r"user +\S+", r"password +\S{12,}",
                    r"http://127\.0\.0\.1:9640/metrics"):
        assert re.search(pattern, said), f"{pattern} is not in\n{said}"


@test("without a configuration the command line that it prints works, in XDP", seconds=120)
def as_root(world):
    os.makedirs("/var/lib/raceway", exist_ok=True)
    world.at_end(lambda: [shutil.rmtree(path, ignore_errors=True) for path in ("/var/lib/raceway", "/run/raceway")])
    world.at_end(lambda: shutil.rmtree("/sys/fs/bpf/raceway", ignore_errors=True))
    said = start(world)
    prints_all(said)
    assert len(re.findall(r"XDP native", said)) == 2, said
    kept = os.stat("/var/lib/raceway/credentials.toml")
    assert kept.st_mode & 0o777 == 0o600 and kept.st_uid not in (0, 65534), "neither root's nor nobody's"
    assert os.stat("/var/lib/raceway").st_uid == os.stat("/run/raceway").st_uid == kept.st_uid
    try_it(world, said)


@test("without a configuration and without root the command line that it prints works", seconds=120)
def as_nobody(world):
    world.directory.chmod(0o777)
    account = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    said = start(world, account)
    prints_all(said)
    assert "workers only" in said and "root" in said, said
    try_it(world, said)
