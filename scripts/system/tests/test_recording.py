"""Recordings of calls, as whoever has the private key reads them: Debian's age opens them, and tshark counts."""

import os
import subprocess

from harness.media import PAYLOAD
from harness.net import Network, run
from harness.ng import AnchoredCall, Proxy, sdp, where
from harness.process import wait_for
from harness.runner import Skip, test
from harness.secure import SECONDS, FFmpeg, Plain
from harness.server import WORKERS_ONLY, Raceway, merged

CONSENT = "consent:yes|case:7"
SOURCES = {"a": 0x52574159, "b": 0x4241434B}


class Shelf:
    """A directory of recordings and, elsewhere, the key that opens them."""

    def __init__(self, world, mount=None):
        for program in ("age", "age-keygen", "tshark"):
            if subprocess.run(["which", program], stdout=subprocess.DEVNULL, check=False).returncode:
                raise Skip(f"no {program}")
        self.world, self.directory = world, world.directory / "recordings"
        self.directory.mkdir()
        if mount:
            run("mount", "-t", "tmpfs", "-o", f"size={mount}", "recordings", self.directory)
            world.at_end(lambda: run("umount", "--lazy", self.directory, check=False))
        # Control has an account of its own, which may write here.
        self.records = world.directory / "state" / "calls.jsonl"
        self.identity = world.directory / "identity.txt"
        run("age-keygen", "-o", self.identity)
        self.public_key = run("age-keygen", "-y", self.identity).strip()

    def raceway(self, changes=None, **recording):
        own = {"directory": str(self.directory), "public_key": self.public_key, "keep_free_mb": 0, **recording}
        calls = {"ng": {"listen": ["127.0.0.1:2223"]}, "recording": own, "cdr": {"file": str(self.records)},
                 "media": {"interfaces": {"ext": Network.SERVER}, "port_range": "30000-39999"}}
        return Raceway(self.world, merged(calls, changes or {}))

    def keys(self):
        return sorted(self.directory.glob("*.key"))

    def decrypt(self, key):
        """The capture, and whether it is whole."""
        octets = key.read_bytes() + key.with_suffix(".body").read_bytes()
        opened = subprocess.run(["age", "-d", "-i", self.identity], input=octets, capture_output=True, check=False)
        capture = self.world.directory / f"{key.stem}.pcapng"
        capture.write_bytes(opened.stdout)
        return capture, opened.returncode == 0

    def ended(self, key):
        wait_for(f"the end of {key.name}", lambda: self.decrypt(key)[1])
        return self.decrypt(key)[0]


def packets(capture):
    """RTP of a capture as tshark reads it: SSRC, sequence number, source address, payload in hexadecimal."""
    fields = ["-e", "rtp.ssrc", "-e", "rtp.seq", "-e", "ip.src", "-e", "rtp.payload"]
    shown = subprocess.run(["tshark", "-r", capture, "--enable-heuristic", "rtp_udp", "-Y", "rtp", "-T", "fields", *fields],
                           capture_output=True, text=True, check=False, timeout=60)
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    return [(int(ssrc, 16), int(seq), source, payload.replace(":", "")) for ssrc, seq, source, payload in lines]


def streams(capture):
    """Sequence numbers by SSRC, in the order of the capture."""
    found = {}
    for ssrc, seq, _, _ in packets(capture):
        found.setdefault(ssrc, []).append(seq)
    return found


def nothing_in_clear(world, shelf, *needles):
    """Nothing that Raceway wrote has what was said, who spoke, or a key."""
    secret = next(line for line in shelf.identity.read_text().splitlines() if not line.startswith("#"))
    for place in (shelf.directory, world.directory / "run", world.directory / "state"):
        for file in (found for found in place.rglob("*") if found.is_file()):
            octets = file.read_bytes()
            for needle in (PAYLOAD, secret.encode(), *needles):
                assert needle not in octets, f"{needle[:20]} is in {file}"


@test("a call that XDP relays is recorded whole once consent is given, age and tshark read it, and it goes back to XDP",
      seconds=90)
def recorded(world):
    shelf = Shelf(world)
    raceway, proxy = shelf.raceway(), Proxy(world)
    call = AnchoredCall(world, proxy).start()
    world.wait(4.0)
    path = lambda: {media["path"] for party in raceway.ctl_json("call", "call")["parties"] for media in party["media"]}
    wait_for("the call in XDP", lambda: path() == {"xdp"})
    refused = proxy.command("start recording", call_id="call", metadata="case:7")
    assert refused["result"] == "error" and "consent:yes" in refused["error-reason"], refused
    assert proxy.command("start recording", call_id="call", metadata="consent:no")["result"] == "error"
    assert not shelf.keys()
    proxy.ask("start recording", call_id="call", metadata=CONSENT)
    proxy.ask("start recording", call_id="call")
    wait_for("the call with workers", lambda: path() == {"worker"})
    world.wait(3.0)
    begun = {name: stream.sent for name, stream in (("a", call.out), ("b", call.back))}
    shown = raceway.ctl("call", "call")
    assert ": writing; " in shown and shelf.keys()[0].stem[:-2] in shown, shown
    world.wait(2.0)
    proxy.ask("stop recording", call_id="call")
    wait_for("the call in XDP again", lambda: path() == {"xdp"})
    stopped = {name: stream.sent for name, stream in (("a", call.out), ("b", call.back))}
    world.wait(1.0)
    call.stop()
    assert call.lost == 0, call
    [key] = shelf.keys()
    capture = shelf.ended(key)
    found = streams(capture)
    assert set(found) == set(SOURCES.values()), found.keys()
    for name, ssrc in SOURCES.items():
        numbers = found[ssrc]
        # Not one is missing or there twice between the first and the last.
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"{name}: {len(numbers)}"
        assert numbers[0] < begun[name] < numbers[-1] <= stopped[name], (name, numbers[0], numbers[-1], begun, stopped)
    assert {(ssrc, source) for ssrc, _, source, _ in packets(capture)} == {
        (SOURCES["a"], Network.CLIENT), (SOURCES["b"], Network.PEER)}
    assert all(payload == PAYLOAD.hex() for _, _, _, payload in packets(capture))
    note = run("capinfos", "-k", capture)
    assert "call-id: call" in note and "consent:yes|case:7" in note, note
    metrics = raceway.metrics()
    assert metrics.total("raceway_recording_packets_total") == sum(map(len, found.values()))
    assert metrics.total("raceway_recording_lost_packets_total") == 0
    nothing_in_clear(world, shelf, b"case:7")
    call.delete()
    wait_for("the record", lambda: shelf.records.exists() and key.stem[:-2] in shelf.records.read_text())
    # Nobody else's key opens it; and whoever erases the one half has erased the recording.
    other = world.directory / "other.txt"
    run("age-keygen", "-o", other)
    octets, body = key.read_bytes(), key.with_suffix(".body").read_bytes()
    key.unlink()
    for identity, file in ((other, octets + body), (shelf.identity, body)):
        opened = subprocess.run(["age", "-d", "-i", identity], input=file, capture_output=True, check=False)
        assert opened.returncode != 0 and opened.stdout == b"", identity


@test("a call is recorded from its offer on, pauses, goes on, and has a second recording; a time-out ends that", seconds=90)
def from_the_offer(world):
    shelf = Shelf(world)
    raceway = shelf.raceway({"media": {"timeout_s": 3}})
    proxy = Proxy(world)
    text = sdp("10.9.9.9", 4000)
    named = {"call_id": "other", "from_tag": "a", "sdp": text, "record_call": "yes"}
    refused = proxy.command("offer", **named)
    assert refused["result"] == "error" and "consent" in refused["error-reason"], refused
    assert "other" not in raceway.ctl("calls")
    call = AnchoredCall(world, proxy, offer={"record_call": "yes", "metadata": CONSENT}).start()
    world.wait(1.0)
    proxy.ask("pause recording", call_id="call")
    world.wait(0.2)
    paused = call.out.sent
    world.wait(1.0)
    resumed = call.out.sent
    proxy.ask("start recording", call_id="call")
    world.wait(1.0)
    proxy.ask("stop recording", call_id="call")
    world.wait(0.2)
    second = call.out.sent
    proxy.ask("start recording", call_id="call", metadata=CONSENT)
    world.wait(0.5)
    call.stop()
    assert call.lost == 0, call
    assert len(shelf.keys()) == 2
    # Media times out: the call ends by itself, and what is recorded of it ends as it should.
    by_time = {shelf.ended(key): key for key in shelf.keys()}
    found = sorted((streams(capture)[SOURCES["a"]] for capture in by_time), key=lambda numbers: numbers[0])
    first, other = found
    assert not [number for number in first if paused < number < resumed - 1], "what was said in the pause is there"
    assert first[0] == 0 and first[-1] > resumed and other[0] >= second - 1 and other[-1] == call.out.sent - 1
    assert '"why":"timeout"' in shelf.records.read_text()
    one, two = (key.read_bytes() for key in shelf.keys())
    assert one != two


@test("SRTP is recorded opened, and neither its key nor what was said is on the disk in clear", seconds=60)
def srtp(world):
    shelf = Shelf(world)
    shelf.raceway()
    proxy = Proxy(world)
    caller = FFmpeg(world, world.net.client, Network.CLIENT, 0x43414C4C, "AES_CM_128_HMAC_SHA1_80")
    callee = Plain(world, world.net.peer, Network.PEER, 0x42414348)
    named = {"call_id": "call", "from_tag": "a", "endpoint_learning": "off"}
    text = sdp(caller.host, caller.port, lines=caller.lines(), profile=caller.profile)
    offered = proxy.ask("offer", sdp=text, transport_protocol=callee.profile, record_call="on", metadata=CONSENT, **named)
    text = sdp(callee.host, callee.port, lines=callee.lines(offered["sdp"]), profile=callee.profile)
    answered = proxy.ask("answer", sdp=text, to_tag="b", **named)
    callee.listen(offered["sdp"], caller.seed)
    world.wait(1.0)
    caller.speak(where(answered["sdp"]))
    world.wait(SECONDS + 1.0)
    proxy.ask("delete", call_id="call", from_tag="a")
    [key] = shelf.keys()
    said = bytes.fromhex("".join(payload for _, _, source, payload in packets(shelf.ended(key)) if source == Network.CLIENT))
    assert len(said) > 0.8 * len(caller.sound) and said in caller.sound, f"{len(said)} of {len(caller.sound)} octets"
    keys = [line.split("inline:")[1].split("|")[0].split()[0].encode() for line in caller.lines() if "inline:" in line]
    assert keys
    nothing_in_clear(world, shelf, said[:160], *keys)


@test("kill -9 of the relay: what was on the disk is readable, and the next part begins", seconds=60)
def relay_dies(world):
    shelf = Shelf(world)
    raceway, proxy = shelf.raceway(WORKERS_ONLY), Proxy(world)
    call = AnchoredCall(world, proxy, offer={"record_call": "yes", "metadata": CONSENT}).start()
    world.wait(3.0)
    killed = min(call.out.sent, call.back.sent)
    raceway.relay.kill()
    raceway.start_relay()
    raceway.wait_ready()
    wait_for("the next part", lambda: len(shelf.keys()) == 2)
    world.wait(1.5)
    call.stop()
    call.delete()
    first, second = shelf.keys()
    assert first.stem[:-2] == second.stem[:-2]
    capture, whole = shelf.decrypt(first)
    assert not whole
    for ssrc in SOURCES.values():
        numbers = streams(capture)[ssrc]
        # 64 KiB are at most 280 packets of both.
        assert numbers == list(range(len(numbers))) and len(numbers) > killed - 200, (len(numbers), killed)
        numbers = streams(shelf.ended(second))[ssrc]
        assert numbers == list(range(numbers[0], call.out.sent if ssrc == SOURCES["a"] else call.back.sent))


@test("a disk that is full is told, the call goes on, and is recorded again when there is room", seconds=90)
def disk_full(world):
    shelf = Shelf(world, mount="300k")
    raceway, proxy = shelf.raceway(WORKERS_ONLY), Proxy(world)
    filler = shelf.directory / "filler"
    call = AnchoredCall(world, proxy, per_second=100).start()
    try:
        filler.write_bytes(bytes(400_000))
    except OSError:
        pass
    os.sync()
    refused = proxy.command("start recording", call_id="call", metadata=CONSENT)
    assert refused["result"] == "error" and "disk is full" in refused["error-reason"], refused
    assert [file.name for file in shelf.directory.iterdir()] == ["filler"]
    filler.unlink()
    proxy.ask("start recording", call_id="call", metadata=CONSENT)
    state = lambda: raceway.ctl_json("call", "call")["recording"]
    wait_for("a full disk", lambda: "disk is full" in state()["state"], 30)
    lost = raceway.metrics().total("raceway_recording_lost_packets_total", reason="disk")
    assert lost > 0 and raceway.metrics().total("raceway_recording_failures_total") >= 2
    [key] = shelf.keys()
    kept, whole = shelf.decrypt(key)
    assert not whole and len(packets(kept)) > 500
    key.with_suffix(".body").unlink()
    wait_for("the next part", lambda: state()["state"] == "writing", 15)
    call.stop()
    for stream in (call.out, call.back):
        assert stream.last_arrival() > stream.sent_at[-1] - 0.2, f"stopped: {call}"
    assert "recordings cannot be written" in raceway.relay.output()
    # An offer is as good without: it is answered, and told what is missing.
    proxy.ask("delete", call_id="call", from_tag="a")
    try:
        filler.write_bytes(bytes(400_000))
    except OSError:
        pass
    text = sdp("10.9.9.9", 4000)
    offered = proxy.ask("offer", call_id="late", from_tag="a", sdp=text, record_call="yes", metadata=CONSENT)
    assert "disk is full" in offered["warning"] and "sdp" in offered, offered


@test("a recording that is discarded leaves nothing, and a caller cannot make one larger than it may be", seconds=60)
def limits(world):
    shelf = Shelf(world)
    raceway, proxy = shelf.raceway(WORKERS_ONLY, max_mb=1), Proxy(world)
    call = AnchoredCall(world, proxy, per_second=1000, offer={"record_call": "yes", "metadata": CONSENT}).start()
    wait_for("the limit", lambda: "as large as it may be" in raceway.ctl_json("call", "call")["recording"]["state"], 20)
    call.stop()
    [key] = shelf.keys()
    assert key.with_suffix(".body").stat().st_size < 1_200_000
    shelf.ended(key)
    assert raceway.metrics().total("raceway_recording_lost_packets_total", reason="limit") > 0
    proxy.ask("stop recording", call_id="call")
    proxy.ask("start recording", call_id="call", metadata=CONSENT)
    assert len(shelf.keys()) == 2
    proxy.ask("delete", call_id="call", from_tag="a", flags=["discard recording"])
    wait_for("the second one to go", lambda: shelf.keys() == [key])
