"""The load generator: against Raceway and coturn alike, and judged by tshark."""

import json
import re
import signal
import subprocess

from harness.net import Network
from harness.process import wait_for
from harness.runner import test
from harness.server import PASSWORD, SECRET, SERVER, USER, WORKERS_ONLY, Coturn, Raceway, xdp_share

TURN = ("turn", "--server", f"{SERVER[0]}:{SERVER[1]}")
WHO = ("--user", USER, "--password", PASSWORD)
# Machines that run tests are shared: how late the generator was is its business, and not what these tests are about.
ANY_LATENESS = ("--lateness", "1s")


def loadgen(world, *arguments, seconds=40, namespace=None):
    """Runs the generator in the client's namespace: (exit status, standard output, standard error)."""
    command = (namespace or world.net.client).command(world.binaries / "raceway-loadgen", *arguments)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout, done.stderr


def report(world, *arguments, status=0, **options):
    """The JSON report of a run that ends with `status`."""
    code, out, error = loadgen(world, *arguments, "--json", "--quiet", *ANY_LATENESS, **options)
    assert code == status, f"exit status {code}\n{out[-2000:]}\n{error}"
    return json.loads(out)


def carries(world, *options):
    """Media of 20 clients both ways through whatever serves TURN: all of it arrives."""
    load = ("--clients", 20, "--profile", "pcmu", "--duration", "2s", "--expect", "loss<=0")
    result = report(world, *TURN, *load, *options)
    summary, turn = result["summary"], result["turn"]
    assert summary["sent"]["packets"] == summary["received"]["packets"] == 4000, summary
    assert summary["received"]["corrupted"] == summary["received"]["foreign"] == 0, summary
    assert turn["allocated"] == 20 and not turn["failures"], turn
    assert result["streams"]["count"] == 40 and summary["delay_reference"] == "absolute", result["streams"]["count"]
    return result


@test("the generator's TURN clients carry media through Raceway in XDP")
def turn_xdp(world):
    raceway = Raceway(world)
    before = raceway.metrics()
    carries(world, *WHO)
    share = xdp_share(before, raceway.metrics())
    assert share >= 0.99, f"only {share:.1%} of the packets were relayed in XDP"
    wait_for("the allocations' end", lambda: raceway.ctl_json("status")["sessions"] == 0, 5)


@test("the generator's TURN clients carry media through Raceway by indications and a shared secret")
def turn_indications(world):
    Raceway(world, WORKERS_ONLY)
    carries(world, "--secret", SECRET, "--user", "load", "--indications")


@test("the generator drives coturn as it drives Raceway")
def turn_coturn(world):
    Coturn(world)
    carries(world, *WHO)
    carries(world, *WHO, "--indications")


@test("the generator says why a TURN server refuses it, and ends with status 2")
def turn_refused(world):
    Raceway(world, WORKERS_ONLY)
    code, out, error = loadgen(world, *TURN, "--user", USER, "--password", "wrong", "--duration", "1s", "--quiet")
    assert code == 2 and "401" in error and "--password" in error and not out, (code, out, error)
    assert error.count("\n") == 1, f"one line: {error}"


@test("the generator allocates at a rate, and wrong passwords and floods leave nothing")
def turn_rates(world):
    raceway = Raceway(world, WORKERS_ONLY)
    at_rate = ("--rate", 100, "--duration", "2s")
    turn = report(world, *TURN, *WHO, "--mode", "allocations", *at_rate)["turn"]
    assert turn["allocated"] == turn["clients"] == 200 and turn["allocate"]["count"] == 200, turn
    for mode in ("bad-credentials", "flood"):
        turn = report(world, *TURN, *WHO, "--mode", mode, *at_rate)["turn"]
        assert turn["allocated"] == 0 and list(turn["failures"]) == ["Allocate: 401 Unauthorized"], turn
    wait_for("no session", lambda: raceway.ctl_json("status")["sessions"] == 0, 5)


@test("the generator agrees with tshark about loss and jitter of its own run, and replays the capture")
def tshark(world):
    capture = world.directory / "run.pcap"
    here = world.net.client
    listening = world.start("tshark", here.command("tshark", "-n", "-i", "lo", "-w", capture, "-f", "udp src port 9000"))
    wait_for("tshark", lambda: "Capturing" in listening.output(), 20)
    impaired = ("--echo", "--impair", "delay=5ms,jitter=3ms,loss=3%")
    world.start("sink", here.command(world.binaries / "raceway-loadgen", "sink", "--listen", "127.0.0.1:9000", *impaired,
                                     "--duration", "50s", "--quiet"))
    world.wait(1)
    result = report(world, "rtp", "--target", "127.0.0.1:9000", "--streams", 5, "--duration", "6s")
    world.wait(0.5)
    listening.interrupt()
    judge = subprocess.run(["tshark", "-n", "-r", capture, "-d", "udp.port==9000,rtp", "-q", "-z", "rtp,streams"],
                           capture_output=True, text=True, timeout=40).stdout
    seen = {}
    for line in judge.splitlines():
        found = re.search(r"0x([0-9A-F]+)\s+g711U\s+(\d+)\s+(-?\d+) \([^)]*\)((?:\s+\d+\.\d+){6})", line)
        if found:
            seen[int(found[1], 16)] = int(found[2]), int(found[3]), float(found[4].split()[4])
    assert len(seen) == 5, judge
    # SSRCs are neighbours in the order of streams.
    rows = sorted(result["streams"]["rows"], key=lambda row: row["stream"])
    first = min(seen, key=lambda ssrc: (ssrc - rows[0]["stream"]) if (ssrc + 4) % 2**32 in seen else 2**33)
    for row in rows:
        packets, lost, jitter = seen[(first + row["stream"]) % 2**32]
        got = row["received"]
        assert (got["packets"], got["missing"]) == (packets, lost), (row, packets, lost)
        # Both clocks read when the kernel hands the packet over, tshark's a little earlier.
        assert abs(row["jitter_mean_ms"] - jitter) < 1.0, (row["jitter_mean_ms"], jitter)
    assert result["summary"]["lost"] > 0, "the link lost nothing: the test shows nothing"
    again = report(world, "replay", "--file", capture, "--target", "127.0.0.1:9000", "--copies", 2)
    captured = sum(packets for packets, _, _ in seen.values())
    assert again["streams"]["count"] == 10 and again["summary"]["sent"]["packets"] == 2 * captured, again["summary"]


@test("sender and sink are two processes of one machine, and delays are absolute")
def sink(world):
    here = world.net.client
    listening = world.start("sink", here.command(
        world.binaries / "raceway-loadgen", "sink", "--listen", "127.0.0.1:9000", "--duration", "20s", "--quiet", "--json"))
    world.wait(1)
    sent = report(world, "rtp", "--target", "127.0.0.1:9000", "--streams", 3, "--profile", "opus", "--duration", "7s")
    assert sent["rtcp"]["reports"] >= 3 and sent["rtcp"]["round_trip"]["count"] > 0, sent["rtcp"]
    assert sent["summary"]["lost"] == 0, "what the sink reports counts where nothing comes back"
    listening.interrupt(number=signal.SIGINT)
    result = json.loads(listening.output())
    assert result["streams"]["count"] == 3 and result["summary"]["delay_reference"] == "absolute", result
    assert result["summary"]["received"]["packets"] == 1050 and result["summary"]["lost"] == 0, result["summary"]


@test("Ctrl-C ends a run of the generator, and the report is still written")
def interrupted(world):
    Coturn(world)
    page = world.directory / "page.html"
    command = (world.binaries / "raceway-loadgen", *TURN, *WHO, "--clients", 20, "--duration", "10m", "--quiet", "--json",
               "--html", page)
    running = world.start("loadgen", world.net.client.command(*command, *ANY_LATENESS))
    world.wait(3)
    status = running.interrupt(number=signal.SIGINT)
    result = json.loads(running.output())
    assert status == 0, result["validity"]
    assert 2000 <= result["summary"]["received"]["packets"] <= 8000, result["summary"]
    # What was due when Ctrl-C came has left: a run that is cut short is as valid as one that ends by itself.
    assert result["validity"]["valid"], result["validity"]
    assert PASSWORD not in running.output() + page.read_text(), "a secret"


@test("what the generator cannot do it says in a line, with status 2")
def nonsense(world):
    for arguments, word in (
        (("rtp", "--target", "127.0.0.1:9"), "nobody listens"),
        (("rtp", "--target", "192.0.2.1:9"), "--i-own-this-target"),
        (("rtp", "--target", "nowhere.invalid:9"), "looked up"),
        (("rtp", "--target", "127.0.0.1:9", "--html", "/nowhere/page.html"), "cannot be written"),
        (("rtp", "--target", "127.0.0.1:9", "--streams", "0"), "nothing to send"),
        (("rtp", "--target", "127.0.0.1:9", "--cores", "999"), "no core 999"),
        ((*TURN, "--duration", "1s"), "--secret"),
        (("sink", "--listen", f"{Network.PEER}:9000"), "no socket on"),
    ):
        code, out, error = loadgen(world, *arguments, "--quiet")
        assert code == 2 and word in error and "panicked" not in error, (arguments, code, out, error)
