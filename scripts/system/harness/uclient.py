"""coturn's turnutils_uclient, which exits 0 whatever was lost: its output is what counts."""

import re

from .net import Network
from .server import PASSWORD, USER


class Tally:
    """What a run says: messages sent and received, and the whole text."""

    def __init__(self, text):
        self.text = text
        found = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", text)
        self.sent, self.received = map(int, found[-1]) if found else (0, 0)

    def expect_all(self, at_least):
        assert self.sent >= at_least, f"only {self.sent} sent\n{self.text[-2000:]}"
        assert self.received == self.sent, f"{self.received} of {self.sent} came back\n{self.text[-2000:]}"


def uclient(world, *options, server=Network.SERVER, peer=Network.PEER, user=USER, password=PASSWORD,
            namespace=None, seconds=60):
    """Runs it in the client namespace and gives its `Tally`. `peer=None` is for client to client (-y)."""
    command = ["turnutils_uclient", "-u", user, "-w", password, *options]
    if peer:
        command += ["-e", peer]
    process = world.start("uclient", (namespace or world.net.client).command(*command, server))
    process.wait(seconds)
    return Tally(process.output())


def echo_peer(world):
    """turnutils_peer on all addresses of the peer namespace, port 3480."""
    addresses = ["-L", Network.PEER, "-L", Network.PEER6]
    return world.start("peer", world.net.peer.command("turnutils_peer", "-p", 3480, *addresses))
