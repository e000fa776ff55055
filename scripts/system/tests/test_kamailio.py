"""A SIP proxy that was made for rtpengine: Kamailio with its rtpengine module, and SIPp's phones on both sides of it."""

import json
import pathlib

from harness.net import Network
from harness.ng import Proxy
from harness.process import wait_for
from harness.runner import test
from harness.server import Raceway

PROXY = pathlib.Path(__file__).resolve().parents[3] / "docs" / "kamailio.cfg"
CALLS, PACKETS, GAP_MS = 4, 100, 20

# SIPp's own caller, with media: it plays for two seconds, hears its echo, hangs up.
CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller with media">
  <send retrans="500"><![CDATA[

INVITE sip:callee@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]UAC[call_number]
To: callee <sip:callee@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:caller@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=caller 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=ptime:20

]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[

ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]UAC[call_number]
[last_To:]
[routes]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
  <nop><action><exec rtp_stream="SOUND,1,0"/></action></nop>
  <pause milliseconds="MEDIA_MS"/>
  <send retrans="500"><![CDATA[

BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:caller@[local_ip]:[local_port]>;tag=[pid]UAC[call_number]
[last_To:]
[routes]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


def records(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@test("Kamailio, as it is set up for rtpengine, has calls of SIPp anchored: media both ways, and a BYE ends each")
def kamailio(world):
    cdr = world.directory / "state" / "calls.jsonl"
    Raceway(world, {"media": {"interfaces": {"int": Network.SERVER, "ext": Network.RELAYED}},
                    "ng": {"listen": ["127.0.0.1:2223"]}, "cdr": {"file": str(cdr)}})
    net, here = world.net, world.directory
    world.start("kamailio", net.relay.command("kamailio", "-f", PROXY, "-DD", "-E", "-m", "64", "-P", here / "kamailio.pid",
                                              "-Y", here))
    proxy = Proxy(world)
    wait_for("Kamailio's ping", lambda: proxy.ask("statistics")["statistics"]["controlstatistics"]["totalpingcount"] > 0)
    sound, scenario = here / "sound.ulaw", here / "caller.xml"
    sound.write_bytes(bytes(range(160)) * PACKETS)
    text = CALLER.replace("SOUND", str(sound)).replace("MEDIA_MS", str(PACKETS * GAP_MS + 500))
    scenario.write_text(text)
    quiet = ("-nostdin", "-m", CALLS, "-timeout", "60s", "-timeout_error")
    callee = world.start("callee", net.peer.command(
        "sipp", "-sn", "uas", "-i", Network.PEER, "-mi", Network.PEER, "-rtp_echo", *quiet), cwd=here)
    caller = world.start("caller", net.client.command(
        "sipp", "-sf", scenario, "-i", Network.CLIENT, "-mi", Network.CLIENT, "-r", "4", *quiet,
        f"{Network.SERVER}:5060"), cwd=here)
    wait_for("all calls", lambda: len(proxy.ask("list")["calls"]) == CALLS)
    one = proxy.ask("query", call_id=proxy.ask("list")["calls"][0])
    locals_ = sorted(tag["medias"][0]["streams"][0]["local address"] for tag in one["tags"].values())
    assert locals_ == [Network.SERVER, Network.RELAYED], locals_
    assert caller.wait(60) == 0, caller.output()[-2000:]
    assert callee.wait(60) == 0, callee.output()[-2000:]
    wait_for("a record of each call", lambda: len(records(cdr)) == CALLS)
    assert proxy.ask("list")["calls"] == []
    for record in records(cdr):
        assert record["why"] == "deleted" and record["state"] == "answered", record
        caller, callee = (party["media"][0] for party in record["parties"])
        for media, other in ((caller, callee), (callee, caller)):
            assert media["codec"] == "PCMU/8000", media
            # Of the last packets some are on their way, and SIPp's echo drops one now and then.
            assert 0.9 * PACKETS <= media["received"]["rtp_packets"] <= PACKETS + 2, record
            assert other["sent"]["rtp_packets"] == media["received"]["rtp_packets"], record
        assert caller["quality"]["lost"] == 0, record
