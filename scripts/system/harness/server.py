"""The servers under test: coturn, to prove the harness, and Raceway."""

import json
import re
import urllib.request

from .net import Network
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
