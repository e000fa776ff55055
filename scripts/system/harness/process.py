"""Processes with their output in a file, ended for certain."""

import os
import pathlib
import signal
import subprocess
import time


class TimedOut(AssertionError):
    """Something did not happen in time."""


def wait_for(what, condition, seconds=10.0, step=0.05):
    """Polls `condition` until it gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimedOut(f"{what}: not within {seconds:g} s")
        time.sleep(step)


class Process:
    """A started program; `log` has its output."""

    def __init__(self, command, log, environment=None, cwd=None):
        self.log = pathlib.Path(log)
        self.command = [str(part) for part in command]
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, cwd=cwd, start_new_session=True,
            )

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def output(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        if self.alive():
            self.child.kill()
        return self.child.wait(timeout=10)

    def interrupt(self, seconds=10, number=signal.SIGTERM):
        """Asks it to end; its exit status."""
        if self.alive():
            self.child.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds):
        try:
            return self.child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self.command[-1]}: still running after {seconds:g} s\n{self.output()[-2000:]}") from None

    def end(self):
        """Whatever happened: gone, with all that it started."""
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait(timeout=10)

    def memory(self):
        """Resident octets."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        return 0
