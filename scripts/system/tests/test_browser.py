"""Browsers that may use the relay only."""

from harness.browser import run_page
from harness.net import Network
from harness.runner import test
from harness.server import PASSWORD, PORT, USER, WORKERS_ONLY, Coturn, Raceway


def call(world, host):
    """Two peer connections in one page; media must be decoded both ways."""
    result = run_page(world, uri=f"turn:{host}:{PORT}?transport=udp", user=USER, password=PASSWORD)
    assert "error" not in result, result
    assert result["connected_ms"] < 3000, result
    for side in (result["left"], result["right"]):
        assert side["frames"] >= 30 and side["energy"] > 0, result
        assert side["local"] == side["remote"] == "relay", result
    return result


@test("coturn carries a call of headless Chromium")
def chromium_coturn(world):
    Coturn(world)
    call(world, Network.SERVER)


@test("a call of headless Chromium runs through the relay")
def chromium(world):
    raceway = Raceway(world)
    call(world, Network.SERVER)
    assert raceway.metrics().packets("xdp") > 100


@test("a call of headless Chromium runs through the relay over IPv6")
def chromium_v6(world):
    Raceway(world)
    call(world, f"[{Network.SERVER6}]")


@test("a call of headless Chromium runs through workers alone")
def chromium_workers(world):
    raceway = Raceway(world, WORKERS_ONLY)
    call(world, Network.SERVER)
    assert raceway.metrics().packets("worker") > 100
