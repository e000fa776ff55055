"""The load generator without sockets: streams made and counted in XDP."""

import json
import signal

from harness.net import Network
from harness.runner import test
from harness.server import Coturn, Raceway, xdp_share

from .test_loadgen import ANY_LATENESS, TURN, WHO, loadgen, report

XDP = ("rtp", "--backend", "xdp", "--interface", "c0", "--target", f"{Network.SERVER}:9000")


def ready(world):
    """The client's interface has no other program; that of the relay takes frames that XDP sends."""
    world.net.ceases_to_poll("c0")
    world.net.polls(world.net.relay, "rc")


def listen(world, target, *options):
    command = (world.binaries / "raceway-loadgen", "sink", "--listen", target, "--duration", "40s", "--quiet", "--json",
               "--no-rtcp", *options)
    sink = world.start(f"sink-{target.rpartition(':')[2]}", world.net.relay.command(*command))
    world.wait(1)
    return sink


def heard(sink):
    sink.interrupt(number=signal.SIGINT)
    return json.loads(sink.output())


@test("what the generator sends in XDP arrives at a sink over sockets, packet for packet")
def to_sockets(world):
    ready(world)
    for target, profile, packets in (
        (f"{Network.SERVER}:9000", "pcmu", 3000),
        (f"[{Network.SERVER6}]:9001", "g722:ptime=30ms", 2000),
        (f"{Network.SERVER}:9002", "constant:size=333,pps=49", 2940),
    ):
        sink = listen(world, target)
        sent = report(world, *XDP[:-1], target, "--profile", profile, "--streams", 30, "--duration", "2s", "--drain", "0s")
        assert sent["summary"]["sent"]["packets"] == packets, sent["summary"]["sent"]
        assert sent["validity"]["valid"] and "MOS" in sent["run"]["unmeasured"], sent["validity"]
        result = heard(sink)
        summary, got = result["summary"], result["summary"]["received"]
        assert (got["packets"], summary["lost"], result["streams"]["count"]) == (packets, 0, 30), summary
        assert not any(got[name] for name in ("corrupted", "unstamped", "foreign", "duplicated", "reordered")), got
        assert summary["delay_reference"] == "absolute" and summary["delay"]["count"] == packets, summary
        assert got["octets"] == sent["summary"]["sent"]["octets"], (got, sent["summary"]["sent"])


@test("two cores of the generator send in XDP what one would")
def two_cores(world):
    ready(world)
    sink = listen(world, f"{Network.SERVER}:9000")
    load = ("--streams", 41, "--duration", "2s", "--drain", "0s", "--cores", "0,1")
    sent = report(world, *XDP, *load)
    assert sent["summary"]["sent"]["packets"] == 4100, sent["summary"]["sent"]
    assert all(row["sent"] == 100 for row in sent["streams"]["rows"]), sent["streams"]["rows"]
    result = heard(sink)
    got = result["summary"]["received"]
    assert (got["packets"], result["summary"]["lost"], result["streams"]["count"]) == (4100, 0, 41), result["summary"]
    assert not any(got[name] for name in ("corrupted", "unstamped", "foreign", "duplicated", "reordered")), got


@test("a sink in XDP counts streams of anybody, and tells two senders of one SSRC apart")
def sink_in_xdp(world):
    world.net.ceases_to_poll("c0")
    command = (world.binaries / "raceway-loadgen", "sink", "--backend", "xdp", "--interface", "rc", "--listen",
               f"{Network.SERVER}:9000-9001", "--duration", "40s", "--quiet", "--json")
    sink = world.start("sink", world.net.relay.command(*command))
    world.wait(1)
    target = f"{Network.SERVER}:9000-9001"
    # One seed makes the same SSRCs.
    for _ in range(2):
        report(world, "rtp", "--target", target, "--streams", 10, "--duration", "1s", "--drain", "0s", "--seed", "7")
    sent = report(world, *XDP[:-1], target, "--streams", 20, "--duration", "1s", "--drain", "0s")
    assert sent["validity"]["valid"], sent["validity"]
    result = heard(sink)
    summary, streams = result["summary"], result["streams"]
    assert (summary["received"]["packets"], summary["lost"], streams["count"]) == (2000, 0, 40), summary
    assert summary["delay_reference"] == "absolute" and summary["delay"]["count"] == 2000, summary
    assert not any(summary["received"][name] for name in ("corrupted", "foreign", "duplicated", "stray")), summary
    ssrcs = [row["name"].split()[2] for row in streams["rows"]]
    assert len(set(ssrcs)) == 30, ssrcs


def turn_in_xdp(world, *options):
    """Media of 20 clients through whatever serves TURN, past sockets: all of it arrives."""
    load = ("--backend", "xdp", "--interface", "c0", "--clients", 20, "--duration", "2s", "--expect", "loss<=0")
    result = report(world, *TURN, *WHO, *load, *options)
    summary, turn = result["summary"], result["turn"]
    ways = 1 if "--direction" in options else 2
    assert summary["sent"]["packets"] == summary["received"]["packets"] == ways * 2000, summary
    assert summary["delay"]["count"] == ways * 2000 and not summary["received"]["corrupted"], summary
    assert turn["allocated"] == 20 and not turn["failures"], turn
    assert result["streams"]["count"] == ways * 20, result["streams"]["count"]


@test("the generator runs media in XDP through a TURN server that relays in XDP")
def turn_in_xdp_through_raceway(world):
    world.net.ceases_to_poll("c0")
    raceway = Raceway(world)
    before = raceway.metrics()
    for direction in ("to-peer", "to-client"):
        turn_in_xdp(world, "--direction", direction)
    turn_in_xdp(world, "--cores", "0,1")
    share = xdp_share(before, raceway.metrics())
    assert share >= 0.99, f"only {share:.1%} of the packets were relayed in XDP"


@test("the generator runs media in XDP through coturn")
def turn_in_xdp_through_coturn(world):
    ready(world)
    Coturn(world)
    turn_in_xdp(world, "--direction", "to-peer")


@test("the generator counts in XDP what comes back of what it sent")
def echoed(world):
    ready(world)
    listen(world, f"{Network.SERVER}:9000", "--echo")
    result = report(world, *XDP, "--streams", 40, "--duration", "3s", "--expect", "loss<=0")
    summary, streams = result["summary"], result["streams"]
    assert summary["sent"]["packets"] == summary["received"]["packets"] == 6000, summary
    assert summary["delay"]["count"] == 6000 and 0 < summary["delay"]["p50_ms"] < 100, summary["delay"]
    assert summary["sent"]["octets"] == summary["received"]["octets"] == 6000 * 172, summary
    assert not any(summary["received"][name] for name in ("missing", "corrupted", "foreign", "duplicated")), summary
    assert streams["count"] == 40 and all(row["received"]["packets"] == 150 for row in streams["rows"]), streams["count"]
    assert streams["mos"] is None and streams["jitter_ms"]["max"] > 0, streams["jitter_ms"]


@test("the generator sees in XDP what a link loses, swaps, doubles and damages")
def impaired(world):
    ready(world)
    link = "loss=5%,duplicate=4%,reorder=3%,delay=5ms,corrupt=2%"
    sink = listen(world, f"{Network.SERVER}:9000", "--echo", "--impair", link)
    result = report(world, *XDP, "--streams", 50, "--duration", "3s")
    got, lost = result["summary"]["received"], result["summary"]["lost"]
    assert result["summary"]["sent"]["packets"] == 7500 == got["packets"] + lost, result["summary"]
    seen = heard(sink)["summary"]["received"]
    # The link is in front of the sink: what comes back is what the sink got.
    assert abs(got["packets"] - seen["packets"]) <= seen["corrupted"], (got, seen)
    assert 200 < lost < 700 and 150 < got["duplicated"] < 500 and got["reordered"] > 50, (got, lost)
    assert result["streams"]["with_loss"] > 30, result["streams"]["with_loss"]


@test("Ctrl-C ends a run of the generator in XDP, which is valid as far as it went")
def interrupted(world):
    ready(world)
    command = (world.binaries / "raceway-loadgen", *XDP, "--streams", 100, "--duration", "10m", "--drain", "0s",
               "--quiet", "--json", *ANY_LATENESS)
    running = world.start("loadgen", world.net.client.command(*command))
    world.wait(3)
    assert running.interrupt(number=signal.SIGINT) == 0, running.output()
    result = json.loads(running.output())
    assert 5000 <= result["summary"]["sent"]["packets"] <= 17_000 and result["validity"]["valid"], result["summary"]


@test("what the generator cannot do in XDP it says in a line, with status 2")
def nonsense(world):
    world.net.ceases_to_poll("c0")
    hop = ("--next-hop", "02:00:00:00:00:01")
    for arguments, word in (
        (XDP[:3] + XDP[5:], "--interface"),
        (("rtp", "--target", "127.0.0.1:9", "--interface", "c0"), "--backend xdp"),
        ((*XDP[:4], "nowhere0", *XDP[5:]), "no such interface"),
        ((*XDP[:4], "lo", *XDP[5:]), "no Ethernet address"),
        ((*XDP, "--profile", "opus"), "pcmu, pcma, g722, constant"),
        ((*XDP, "--profile", "vp8"), "pcmu, pcma, g722, constant"),
        ((*XDP, "--profile", "pcmu:audio-level=1"), "header extensions"),
        ((*XDP, "--profile", "constant:size=1600"), "MTU"),
        ((*XDP, "--next-hop", "nobody"), "six octets"),
        ((*XDP, "--ramp", "3"), "--ramp"),
        ((*XDP[:-1], "10.77.1.99:9000"), "--next-hop"),
        ((*XDP[:-1], "127.0.0.1:9000"), "not reached by c0"),
        (("sink", "--listen", "127.0.0.1:9000", "--backend", "xdp"), "--interface"),
        (("sink", "--listen", "127.0.0.1:9000", "--interface", "c0"), "--backend xdp"),
        ((*TURN, *WHO, "--backend", "xdp"), "--interface"),
        ((*TURN, *WHO, "--backend", "xdp", "--interface", "c0", "--indications"), "by channels"),
        ((*TURN, *WHO, "--backend", "xdp", "--interface", "c0", "--mode", "flood"), "media alone"),
        ((*TURN, *WHO, "--backend", "xdp", "--interface", "c0", "--duration", "1s"), "nobody listens"),
        (("capacity", "generator", "--backend", "xdp"), "measures sockets"),
        ((*XDP, *hop, "--duration", "1s", "--drain", "0s"), "far end"),
    ):
        code, out, error = loadgen(world, *arguments, "--quiet")
        assert code == 2 and word in error and "panicked" not in error, (arguments, code, out, error)
    world.net.polls(world.net.client, "c0")
    code, out, error = loadgen(world, *XDP, "--quiet")
    assert code == 2 and "another XDP program" in error, (code, out, error)
