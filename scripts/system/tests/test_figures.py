"""Loss and jitter of a stream, as Raceway measures them and as tshark does."""

import random
import re
import struct
import subprocess
import time

from harness.media import PAYLOAD
from harness.process import wait_for
from harness.runner import test
from harness.scene import new_client, new_peer
from harness.server import WORKERS_ONLY, Raceway

PACKETS = 310
LATE = 6


def rough_stream(send):
    """G.711 each 20 ms, with every 37th packet missing, every 50th late, and uneven gaps."""
    chance = random.Random(3)
    held = None
    due = time.monotonic()
    for number in range(PACKETS):
        packet = struct.pack("!BBHII", 0x80, 0, 65400 + number & 0xFFFF, number * 160, 77) + PAYLOAD
        due += 0.02
        time.sleep(max(0.0, due + chance.uniform(-0.004, 0.004) - time.monotonic()))
        if number % 37 == 36:
            continue
        if number % 50 == 49:
            held = packet
            continue
        send(packet)
        if held:
            send(held)
            held = None


def tshark(*arguments):
    done = subprocess.run(["tshark", "-n", *map(str, arguments)], capture_output=True, text=True, timeout=40)
    return done.stdout


def judged(capture, port):
    """(received, lost, mean jitter in ms) of the only stream to `port`, as tshark has them."""
    text = tshark("-r", capture, "-d", f"udp.port=={port},rtp", "-q", "-z", "rtp,streams")
    found = re.search(r"g711U\s+(\d+)\s+(-?\d+) \([^)]*\)((?:\s+\d+\.\d+){6})", text)
    assert found, text
    return int(found[1]), int(found[2]), float(found[3].split()[4])


def jitters(capture, port):
    """Interarrival jitter in ms after each packet but the first (RFC 3550 appendix A.8)."""
    fields = ("-T", "fields", "-e", "frame.time_epoch", "-e", "rtp.timestamp")
    rows = tshark("-r", capture, "-d", f"udp.port=={port},rtp", "-Y", f"udp.dstport=={port}", *fields).split()
    transits = [float(at) * 1000 - int(stamp) / 8 for at, stamp in zip(rows[::2], rows[1::2])]
    jitter, after = 0.0, []
    for earlier, later in zip(transits, transits[1:]):
        jitter += (abs(later - earlier) - jitter) / 16
        after.append(jitter)
    return after


def agrees(world, changes=None):
    raceway = Raceway(world, changes)
    client, peer = new_client(world), new_peer(world)
    relayed = client.allocate()
    client.bind(0x4000, peer.address)
    capture = world.directory / "stream.pcap"
    listening = world.start("tshark", world.net.peer.command("tshark", "-n", "-i", "p0", "-w", capture, "-f", "udp"))
    wait_for("tshark", lambda: "Capturing" in listening.output(), 20)
    world.wait(0.5)
    rough_stream(lambda packet: peer.sock.sendto(packet, relayed))
    world.wait(0.5)
    listening.interrupt()
    received, lost, mean = judged(capture, relayed[1])
    after = jitters(capture, relayed[1])
    assert abs(sum(after) / (len(after) + 1) - mean) < 0.05, "the arithmetic here is not tshark's"
    (rtp,) = [flow["rtp"] for flow in raceway.ctl_json("flows")["flows"] if "rtp" in flow]
    assert rtp["ssrc"] == 77 and rtp["payload_type"] == 0, rtp
    assert rtp["received"] == received and rtp["lost"] == lost and rtp["reordered"] == LATE, (rtp, received, lost)
    assert abs(rtp["jitter_us"] / 1000 - after[-1]) < 0.5, (rtp, after[-1])


@test("tshark agrees with XDP about loss and jitter")
def tshark_xdp(world):
    agrees(world)


@test("tshark agrees with workers about loss and jitter")
def tshark_worker(world):
    agrees(world, WORKERS_ONLY)
