"""The servers under test: coturn and rtpengine, to prove harness and generator, and Raceway."""

import json
import re
import urllib.request

from .net import Network, run
from .process import wait_for
from .turn import Client

USER, PASSWORD, REALM = "user", "correct horse battery", "raceway.test"
SECRET, SECRET_BEFORE = "north-sea-ferry", "old-harbour-crane"
PORT = 3478
SERVER, SERVER6 = (Network.SERVER, PORT), (Network.SERVER6, PORT)


class Coturn:
    """Debian's turnserver in the relay namespace."""

    def __init__(self, world, *options):
        net = world.net
        self.process = world.start("turnserver", net.relay.command(
            "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "-a", "-r", REALM, "-u", f"{USER}:{PASSWORD}",
            "-L", Network.SERVER, "-L", Network.SERVER6, "-E", Network.RELAYED, "-E", Network.RELAYED6,
            "-l", "stdout", "--simple-log", "--pidfile", world.directory / "turnserver.pid",
            "--userdb", world.directory / "turndb", "--allow-loopback-peers", *options))
        probe(world)


class Rtpengine:
    """Debian's rtpengine in the relay namespace, without its kernel module."""

    def __init__(self, world, ng, *options):
        net = world.net
        self.process = world.start("rtpengine", net.relay.command(
            "rtpengine", "--foreground", "--log-stderr", "--log-level=4", "--table=-1", "--delete-delay=0", "--num-threads=1",
            "--no-redis-required", f"--interface={Network.SERVER}", f"--listen-ng={ng}", "--port-min=30000",
            "--port-max=39999", f"--pidfile={world.directory / 'rtpengine.pid'}", *options))
        host, port = ng.rsplit(":", 1)
        sock = world.use(net.client.udp(Network.CLIENT))
        sock.settimeout(0.2)

        def answers():
            try:
                sock.sendto(b"0 d7:command4:pinge", (host, int(port)))
                return b"pong" in sock.recv(1500)
            except OSError:
                return False
        wait_for("rtpengine's answer to a ping", answers, 15)


def probe(world, seconds=15):
    """Waits until Binding requests are answered."""
    def answered():
        client = Client.open(world.net.client, Network.CLIENT, SERVER, USER, PASSWORD)
        try:
            return client.request(1, seconds=0.3)
        except AssertionError:
            return None
        finally:
            client.close()
    wait_for("a Binding response", answered, seconds)


def configuration(directory, settings):
    """TOML of `{table: {key: value}}`."""
    lines = []
    for table, keys in settings.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {toml(value)}" for key, value in keys.items()]
    path = directory / "raceway.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def toml(value):
    """A value; JSON is TOML for strings, numbers, booleans and lists of them, not for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(part) for part in value) + "]"
    return json.dumps(value)


def merged(base, changes):
    """`base` with the keys of `changes` over it; a key that is None there is left out."""
    out = {table: dict(keys) for table, keys in base.items()}
    for table, keys in changes.items():
        out.setdefault(table, {}).update(keys)
        out[table] = {key: value for key, value in out[table].items() if value is not None}
    return out


BASE = {
    "node": {},
    "relay": {"xdp": "native", "flows_max": 8192},
    "turn": {
        "listen": [f"{Network.SERVER}:{PORT}", f"[{Network.SERVER6}]:{PORT}"],
        "realm": REALM,
        "relay_addresses": [Network.RELAYED, Network.RELAYED6],
    },
    "turn.auth": {"users": {USER: PASSWORD}, "shared_secrets": [SECRET, SECRET_BEFORE]},
    "turn.policy": {"allow_peers": ["10.0.0.0/8", "fd00::/8"]},
    "http": {"listen": "127.0.0.1:9640"},
    "log": {"level": "info"},
}
WORKERS_ONLY = {"relay": {"xdp": "off"}}


class Raceway:
    """Relay and control in the relay namespace, with directories and a bpffs of their own."""

    def __init__(self, world, changes=None, start=True):
        self.world, self.net = world, world.net
        self.bpffs = world.directory / "bpf"
        self.bpffs.mkdir()
        run("mount", "-t", "bpf", "bpf", self.bpffs)
        world.at_end(lambda: run("umount", "--lazy", self.bpffs, check=False))
        own = {"node": {"state_dir": str(world.directory / "state"), "run_dir": str(world.directory / "run")},
               "relay": {"pin_dir": str(self.bpffs / "raceway")}}
        self.settings = merged(merged(BASE, own), changes or {})
        self.file = configuration(world.directory, self.settings)
        self.relay = self.control = None
        self._starts = 0
        world.afterwards.append(self.logs_are_clean)
        if start:
            self.start()

    def start(self):
        self.start_relay()
        self.start_control()
        self.wait_ready()

    def start_relay(self):
        self.relay = self._start("relay")

    def start_control(self):
        self.control = self._start("control")

    def _start(self, name):
        self._starts += 1
        program = self.world.binaries / f"raceway-{name}"
        command = self.net.relay.command(program, "--config", self.file)
        return self.world.start(f"{self._starts}-{name}", command)

    def wait_ready(self, seconds=15):
        def ready():
            for process in (self.relay, self.control):
                assert process.alive(), f"{process.log.name}: ended\n{process.output()}"
            try:
                return self.http("/readyz") is not None
            except OSError:
                return False
        wait_for("/readyz", ready, seconds)

    def logs_are_clean(self):
        """No panic, and no secret, whatever the test did."""
        for log in self.world.directory.glob("*.log"):
            if "relay" in log.name or "control" in log.name or log.name.startswith("up"):
                text = log.read_text(errors="replace")
                for word in ("panicked at", PASSWORD, SECRET, SECRET_BEFORE):
                    assert word not in text, f"{word!r} is in {log.name}"

    def reconfigure(self, changes):
        """Writes the file anew; nobody is told."""
        self.settings = merged(self.settings, changes)
        configuration(self.world.directory, self.settings)

    def http(self, path):
        def fetch():
            with urllib.request.urlopen(f"http://127.0.0.1:9640{path}", timeout=5) as response:
                return response.read().decode()
        return self.net.relay.call(fetch)

    def metrics(self):
        return Metrics(self.http("/metrics"))

    def ctl(self, *arguments, check=True):
        """racewayctl's output."""
        program = self.world.binaries / "racewayctl"
        return run(*self.net.relay.command(program, "--config", self.file, *arguments), check=check)

    def ctl_json(self, *arguments):
        return json.loads(self.ctl("--json", *arguments))


class Metrics:
    """A scrape."""

    def __init__(self, text):
        self.text, self.samples = text, []
        for line in text.splitlines():
            found = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? ([^ ]+)", line)
            if found and not line.startswith("#"):
                labels = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
                self.samples.append((found[1], labels, float(found[3])))

    def total(self, name, **labels):
        """Sum over the samples of this name whose labels include these."""
        return sum(value for sample, has, value in self.samples
                   if sample == name and labels.items() <= has.items())

    def packets(self, path):
        return self.total("raceway_packets_total", path=path)


def xdp_share(before, after):
    """Part of the packets relayed between two scrapes that XDP relayed."""
    xdp, worker = (after.packets(path) - before.packets(path) for path in ("xdp", "worker"))
    return xdp / (xdp + worker) if xdp + worker else 0.0
