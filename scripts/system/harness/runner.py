"""Runs tests one after the other, each with a network and a directory of its own and a time limit."""

import contextlib
import inspect
import pathlib
import shutil
import signal
import time
import traceback

from . import net, process

TESTS = []


class Skip(Exception):
    """What the test needs is not here; a failure where everything must run."""


class OutOfTime(BaseException):
    """The test's time limit. Not an `Exception`: a test cannot swallow it by chance."""


def test(behaviour, seconds=60, **network):
    """Registers a function as the test that shows `behaviour`. `network` goes to `Network`."""

    def register(function):
        TESTS.append((behaviour, seconds, network, function))
        return function

    return register


class World:
    """What a test works in: three namespaces, a directory, and everything to be ended with it."""

    def __init__(self, directory, network, binaries):
        self.directory, self.binaries = pathlib.Path(directory), binaries
        self._ends = contextlib.ExitStack()
        self.afterwards = []  # checks of what must hold after every test that uses the thing
        self.net = net.Network(**network)
        self._ends.callback(self.net.delete)

    def start(self, name, command, **options):
        """A process that ends with the test."""
        started = process.Process(command, self.directory / f"{name}.log", **options)
        self._ends.callback(started.end)
        return started

    def use(self, thing):
        """Something with `close` that ends with the test."""
        self._ends.callback(thing.close)
        return thing

    @staticmethod
    def wait(seconds):
        time.sleep(seconds)

    @staticmethod
    def now():
        return time.monotonic()

    def at_end(self, function):
        self._ends.callback(function)

    def end(self):
        self._ends.close()


def run_all(directory, binaries, pattern, must_run):
    """Runs what matches; (passed, failed, skipped)."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    signal.signal(signal.SIGALRM, _out_of_time)
    for behaviour, seconds, network, function in TESTS:
        name = f"{pathlib.Path(inspect.getfile(function)).stem}: {behaviour}"
        if pattern and pattern not in name:
            continue
        begun = time.monotonic()
        print(f"{name} ... ", end="", flush=True)
        outcome, detail = _run_one(function, seconds, network, directory / str(len(failures)), binaries)
        if outcome == "skipped" and must_run:
            outcome = "failed"
        counts[outcome] += 1
        note = f" {detail}" if outcome == "skipped" else ""
        print(f"{outcome}{note} ({time.monotonic() - begun:.1f} s)", flush=True)
        if outcome == "failed":
            failures.append((name, detail))
    for name, detail in failures:
        print(f"\n---- {name}\n{detail}")
    if failures:
        print("\nfailed:", *(name for name, _ in failures), sep="\n    ")
    return counts["passed"], counts["failed"], counts["skipped"]


def _out_of_time(*_):
    raise OutOfTime


def _run_one(function, seconds, network, directory, binaries):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    world = None
    signal.alarm(seconds)
    try:
        world = World(directory, network, binaries)
        function(world)
        for check in world.afterwards:
            check()
        return "passed", ""
    except Skip as reason:
        return "skipped", str(reason)
    except OutOfTime:
        return "failed", f"time limit of {seconds} s\n{traceback.format_exc()}\n{_logs(directory)}"
    except Exception:
        return "failed", f"{traceback.format_exc()}\n{_logs(directory)}"
    finally:
        signal.alarm(0)
        if world:
            world.end()


def _logs(directory):
    """The end of every log, oldest first."""
    parts = []
    for log in sorted(directory.glob("*.log"), key=lambda path: path.stat().st_mtime):
        parts.append(f"-- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
    return "\n".join(parts)
