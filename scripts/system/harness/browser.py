"""A headless browser in the client namespace: runs a page and waits for what it posts back."""

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

# Fake cameras without a question, addresses and not names in candidates, and nothing said to anybody else.
PREFERENCES = {
    "media.navigator.streams.fake": True, "media.navigator.permission.disabled": True, "media.autoplay.default": 0,
    "media.peerconnection.ice.obfuscate_host_addresses": False, "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "app.update.auto": False, "extensions.update.enabled": False,
}


def chromium(directory):
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    profile = directory / "chromium"
    return program, [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0"]


def firefox(directory):
    profile = directory / "firefox"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    return shutil.which("firefox-esr") or shutil.which("firefox"), ["--headless", "--no-remote", "--profile", profile]


def run_page(world, seconds=45, page="browser.html", signal=None, browser=chromium, **query):
    """The object that the page posts to /result. What it posts elsewhere is given to `signal(path, text)`, which answers."""
    program, flags = browser(world.directory)
    if not program:
        raise Skip(f"{browser.__name__} is not installed")
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
    command = world.net.client.command(program, *flags, url)
    world.start(browser.__name__, command, environment={"HOME": str(world.directory)})
    return wait_for("the page's result", lambda: results and results[0], seconds)
