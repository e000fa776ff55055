"""Headless Chromium in the client namespace: runs a page and waits for what it posts back."""

import http.server
import json
import pathlib
import shutil
import threading
import urllib.parse

from .process import wait_for
from .runner import Skip

PAGE = pathlib.Path(__file__).parent.parent / "tests" / "browser.html"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream "
    "--autoplay-policy=no-user-gesture-required --disable-dev-shm-usage"
).split()


def run_page(world, seconds=45, **query):
    """The object that the page posts to /result."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise Skip("chromium is not installed")
    results = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(PAGE.read_bytes() if self.path.startswith("/page") else b"")

        def do_POST(self):
            results.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(b"")

        def _answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    # "localhost" is a secure origin, so the page may use (fake) cameras without a certificate.
    server = world.net.client.call(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.at_end(server.shutdown)
    url = f"http://localhost:{server.server_port}/page?{urllib.parse.urlencode(query)}"
    profile = world.directory / "chromium"
    flags = [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", url]
    world.start("chromium", world.net.client.command(chromium, *flags), environment={"HOME": str(world.directory)})
    return wait_for("the page's result", lambda: results and results[0], seconds)
