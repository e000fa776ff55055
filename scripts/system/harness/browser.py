"""Headless Chromium in the client namespace: runs a page and waits for what it posts back."""

import http.server
import json
import pathlib
import shutil
import threading
import urllib.parse

from .process import wait_for
from .runner import Skip

PAGES = pathlib.Path(__file__).parent.parent / "tests"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream "
    "--autoplay-policy=no-user-gesture-required --disable-dev-shm-usage"
).split()


def run_page(world, seconds=45, page="browser.html", signal=None, **query):
    """The object that the page posts to /result. What it posts elsewhere is given to `signal(path, text)`, which answers."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise Skip("chromium is not installed")
    results = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer((PAGES / page).read_bytes() if self.path.startswith("/page") else b"")

        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path == "/result":
                results.append(json.loads(text))
                return self._answer(b"")
            try:
                self._answer(signal(self.path, text).encode())
            except Exception as error:  # the page would only know that something failed
                results.append({"error": f"{self.path}: {error!r}"})
                raise

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
