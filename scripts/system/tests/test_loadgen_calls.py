"""Calls of the load generator: through Raceway and Debian's rtpengine alike."""

import json
import shutil
import subprocess

from harness.net import Network
from harness.process import wait_for
from harness.runner import Skip, test
from harness.server import Raceway, Rtpengine, xdp_share

NG = f"{Network.SERVER}:2223"
CALLS = {"ng": {"listen": [NG], "allow": ["10.0.0.0/8"]},
         "media": {"interfaces": {"ext": Network.SERVER}, "port_range": "30000-39999"}}
# Machines that run tests are shared: how late the generator was is its business, and not what these tests are about.
ANY_LATENESS = ("--lateness", "1s")
PLAIN, SRTP = "RTP/AVP", "RTP/SAVP"


def loadgen(world, *arguments, ng=NG, seconds=40):
    """Runs `call` in the client's namespace: (exit status, standard output, standard error)."""
    command = world.net.client.command(world.binaries / "raceway-loadgen", "call", "--ng", ng, "--quiet", *arguments)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout, done.stderr


def report(world, *arguments):
    """The JSON report of a run that passes."""
    code, out, error = loadgen(world, *arguments, "--json", *ANY_LATENESS)
    assert code == 0, f"exit status {code}\n{out[-2000:]}\n{error}"
    return json.loads(out)


def carries(world, *options, calls=20):
    """Media of calls both ways through whatever takes ng commands: all of it arrives, and the relay counted the same."""
    result = report(world, "--calls", calls, "--duration", "2s", "--expect", "loss<=0,failures<=0,corrupted<=0", *options)
    summary, call = result["summary"], result["call"]
    packets = calls * 2 * 100
    assert summary["sent"]["packets"] == summary["received"]["packets"] == packets, summary
    assert summary["received"]["unauthentic"] == summary["received"]["foreign"] == 0, summary
    assert call["offered"] == call["answered"] == call["deleted"] == calls, call
    assert call["set_up"]["count"] == calls and call["set_up"]["p99_ms"] > 0, call
    assert result["streams"]["count"] == result["streams"]["mos"]["count"] == 2 * calls, result["streams"]
    # Relays count RTCP that shares the ports of RTP as they like.
    rtcp = result["rtcp"]
    assert rtcp["sent"] == rtcp["received"] > 0 and rtcp["reported_lost"] == 0, rtcp
    assert packets <= call["relay_packets"] <= packets + rtcp["sent"], (call, rtcp)
    assert call["relay_errors"] == 0, call
    return result


def secure(world, suites):
    """SRTP of each suite to RTP and back, and SRTP on both sides."""
    for suite in suites:
        carries(world, "--offer-transport", SRTP, "--suite", suite, calls=3)
        carries(world, "--answer-transport", SRTP, "--suite", suite, calls=3)
    carries(world, "--offer-transport", SRTP, "--answer-transport", SRTP, calls=3)


def comes_and_goes(world):
    """Calls without media: some that stay, and as many as a window carries."""
    stay = report(world, "--set-up-only", "--calls", 200, "--rate", 400, "--duration", "200ms", "--expect", "failures<=0")
    assert stay["call"]["answered"] == stay["call"]["deleted"] == 200 and stay["validity"]["lateness"]["count"] == 200, stay["call"]
    churn = report(world, "--set-up-only", "--churn", "--calls", 16, "--duration", "1s", "--expect", "failures<=0,set_up>=20")
    assert churn["call"]["answered"] == churn["call"]["deleted"] > 20, churn["call"]
    assert churn["summary"]["sent"]["packets"] == 0, churn["summary"]


def media_comes_and_goes(world, *options):
    """Calls with media that begin 20 a second and last half a second each: nothing is lost of any."""
    churn = ("--churn", "--rate", 20, "--hold", "500ms", "--duration", "3s", "--drain", "300ms")
    result = report(world, *churn, "--expect", "loss<=0,failures<=0,unauthentic<=0", *options)
    summary, call = result["summary"], result["call"]
    assert 20 <= call["answered"] == call["deleted"] <= 61, call
    # Where a machine is slow, the last ones are up when media is over.
    assert 20 <= result["streams"]["count"] <= 2 * call["answered"], (call, result["streams"])
    assert summary["sent"]["packets"] == summary["received"]["packets"] > 500, summary


def no_calls(raceway):
    wait_for("the calls' end", lambda: raceway.metrics().total("raceway_calls") == 0, 5)


@test("the generator's calls carry media through Raceway in XDP, and its report has what the relay counted")
def plain(world):
    raceway = Raceway(world, CALLS)
    before = raceway.metrics()
    carries(world)
    share = xdp_share(before, raceway.metrics())
    assert share >= 0.9, f"only {share:.1%} of the packets were relayed in XDP"
    no_calls(raceway)


@test("the generator's calls have SRTP of each suite on either side of Raceway", seconds=120)
def srtp(world):
    Raceway(world, CALLS)
    secure(world, ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM",
                   "AEAD_AES_256_GCM"))


@test("the generator makes calls without media at Raceway, and none is left")
def signalling(world):
    raceway = Raceway(world, CALLS)
    comes_and_goes(world)
    no_calls(raceway)


@test("the generator's calls with media come and go at Raceway, with RTP and with SRTP")
def churn(world):
    raceway = Raceway(world, CALLS)
    media_comes_and_goes(world)
    media_comes_and_goes(world, "--offer-transport", SRTP)
    no_calls(raceway)


@test("the generator drives rtpengine as it drives Raceway", seconds=120)
def rtpengine(world):
    if not shutil.which("rtpengine"):
        raise Skip("no rtpengine")
    Rtpengine(world, NG)
    carries(world)
    carries(world, "--profile", "opus", calls=3)
    secure(world, ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"))
    comes_and_goes(world)
    media_comes_and_goes(world, "--answer-transport", SRTP)


@test("a link that loses shows in calls as it does elsewhere, with SRTP too")
def impaired(world):
    Raceway(world, CALLS)
    options = ("--calls", 5, "--duration", "3s", "--impair", "delay=5ms,loss=5%", "--seed", 3)
    for transport in (PLAIN, SRTP):
        result = report(world, *options, "--offer-transport", transport)
        ratio, delay = result["summary"]["loss_ratio"], result["summary"]["delay"]["p50_ms"]
        assert 0.05 < ratio < 0.15 and 10 <= delay < 30, (transport, ratio, delay)
        assert result["summary"]["received"]["unauthentic"] == 0, result["summary"]


@test("a search finds how many calls the ports of a relay are enough for")
def capacity(world):
    Raceway(world, {**CALLS, "media": {**CALLS["media"], "port_range": "30000-30099"}})
    command = world.net.client.command(world.binaries / "raceway-loadgen", "capacity", "call", "--ng", NG, "--calls", 2, "--repeat", 1,
                                       "--most", 64, "--duration", "200ms", "--drain", "200ms", "--quiet", "--json", *ANY_LATENESS)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["unit"] == "calls" and 2 <= result["found"][0]["load"] <= 25, result["found"]
    assert any("ports" in trial["why"] or "failures" in trial["why"] for trial in result["trials"]), result["trials"]


@test("the generator says why no call can be made, in a line, and ends with status 2")
def refused(world):
    raceway = Raceway(world, {**CALLS, "media": {**CALLS["media"], "port_range": "30000-30003"}})
    deaf = world.use(world.net.relay.udp(Network.SERVER, 2300))
    wrong = {
        (f"{Network.SERVER}:2301",): "nobody listens there",
        (f"{Network.SERVER}:2300",): "no answer to ng's ping",
        ("203.0.113.9:2223",): "--i-own-this-target",
        (NG, "--hold", "1s"): "--hold is for --churn",
        (NG, "--churn"): "say with --rate",
        (NG, "--churn", "--rate", 9, "--calls", 3): "follows from --rate and --hold",
        (NG, "--callee-address", "192.0.2.9"): "is it an address of this machine?",
        (NG, "--calls", "0"): "--calls 0",
        (NG, "--backend", "xdp"): "calls go through sockets",
    }
    for (ng, *options), words in wrong.items():
        code, out, error = loadgen(world, *options, ng=ng)
        assert code == 2 and words in error and not out, (ng, options, code, out, error)
        assert error.count("\n") == 1, f"one line: {error}"
    assert deaf.recvfrom(100)[0].endswith(b" d7:command4:pinge")
    # There are ports for one call alone: the other one is refused, and said to be.
    result = report(world, "--calls", 2, "--duration", "1s")
    assert result["call"]["answered"] == 1 and sum(result["call"]["failures"].values()) == 1, result["call"]
    raceway.control.kill()
    code, out, error = loadgen(world)
    assert code == 2 and "nobody listens there" in error, (code, out, error)
