"""Network namespaces joined by veth pairs, and sockets inside them.

Everything here lives in the mount namespace that `scripts/system/run` made: when its last process ends,
namespaces, links and pins end with it.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_LOAD, BPF_LINK_CREATE, BPF_PROG_TYPE_XDP, BPF_XDP = 5, 28, 6, 37
SO_RCVBUFFORCE = 33
ETH_P_IP = 0x0800

_libc = ctypes.CDLL(None, use_errno=True)


def run(*command, check=True, timeout=20):
    """A short command; its output on failure."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Namespace:
    """A network namespace with its loopback up."""

    def __init__(self, name):
        self.name, self.path = name, f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments, check=True):
        return run("ip", "-n", self.name, *arguments, check=check)

    def command(self, *command):
        """`command` as it must be given to run in here. Mounts stay as they are, unlike with `ip netns exec`."""
        return ["nsenter", f"--net={self.path}", "--", *map(str, command)]

    def sysctl(self, name, value):
        run(*self.command("sysctl", "-q", "-w", f"{name}={value}"))

    def call(self, function):
        """Runs `function` on a thread of its own inside this namespace: sockets that it opens stay here."""
        result = {}

        def inside():
            try:
                with open(self.path, "rb") as handle:
                    if _libc.setns(handle.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), f"setns {self.path}")
                result["value"] = function()
            except BaseException as error:  # handed to the caller below
                result["error"] = error

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if "error" in result:
            raise result["error"]
        return result["value"]

    def udp(self, host, port=0, buffer=4 << 20):
        """A bound UDP socket in here."""

        def make():
            made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
            made.bind((host, port))
            return made

        return self.call(make)

    def raw(self):
        """A raw IPv4 socket that takes whole packets, source address and all."""

        def make():
            made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            return made

        return self.call(make)

    def listen_to(self, interface):
        """A packet socket that gets every IPv4 packet that comes in by `interface`, from its IP header on."""

        def make():
            made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            made.bind((interface, ETH_P_IP))
            return made

        return self.call(make)

    def delete(self):
        run("ip", "netns", "delete", self.name, check=False)


def _finish_checksums(interface):
    """A checksum left to hardware that does not exist would reach XDP unfinished: the sender finishes it."""
    data = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", interface.encode(), ctypes.addressof(data)).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def _bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 120)
    descriptor = _libc.syscall(SYS_BPF, command, buffer, len(buffer))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return descriptor


def _pass_everything(interface):
    """Attaches the shortest XDP program, "return XDP_PASS"; a descriptor that holds it.

    XDP sends to a veth only when its other end polls, and veth tells that end of what XDP_TX left in its ring only
    if it has a program of its own.
    """
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"Dual MIT/GPL")
    load = struct.pack("=IIQQ", BPF_PROG_TYPE_XDP, 2, ctypes.addressof(code), ctypes.addressof(licence))
    program = _bpf(BPF_PROG_LOAD, load)
    try:
        return _bpf(BPF_LINK_CREATE, struct.pack("=IIII", program, socket.if_nametoindex(interface), BPF_XDP, 0))
    finally:
        os.close(program)


class Network:
    """client - relay - peer.

    client  c0  10.77.1.2   fd77:1::2     rc  10.77.1.1  fd77:1::1
    peer    p0  10.77.2.2   fd77:2::2     rp  10.77.2.1  fd77:2::1
    """

    CLIENT, CLIENT6, SERVER, SERVER6 = "10.77.1.2", "fd77:1::2", "10.77.1.1", "fd77:1::1"
    PEER, PEER6, RELAYED, RELAYED6 = "10.77.2.2", "fd77:2::2", "10.77.2.1", "fd77:2::1"

    def __init__(self, mtu=1500):
        self.client, self.relay, self.peer = made = [Namespace(name) for name in ("client", "relay", "peer")]
        self.all, self.links = made, {}
        self._join(self.client, "c0", "rc", "10.77.1.", "fd77:1::", mtu)
        self._join(self.peer, "p0", "rp", "10.77.2.", "fd77:2::", mtu)
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.relay.sysctl(name, 1)

    def _join(self, far, far_name, near_name, v4, v6, mtu):
        run("ip", "link", "add", far_name, "netns", far.name, "mtu", str(mtu), "type", "veth",
            "peer", "name", near_name, "netns", self.relay.name, "mtu", str(mtu))
        for namespace, name, host in ((far, far_name, 2), (self.relay, near_name, 1)):
            namespace.ip("addr", "add", f"{v4}{host}/24", "dev", name)
            namespace.ip("addr", "add", f"{v6}{host}/64", "dev", name, "nodad")
            namespace.ip("link", "set", name, "up")
        far.ip("route", "add", "default", "via", f"{v4}1")
        far.ip("-6", "route", "add", "default", "via", f"{v6}1")
        far.call(lambda: _finish_checksums(far_name))
        self.polls(far, far_name)

    def polls(self, far, far_name):
        """The far end of a link takes what XDP sends there."""
        self.links[far_name] = far.call(lambda: _pass_everything(far_name))

    def ceases_to_poll(self, far_name):
        """From now on it loses that."""
        os.close(self.links.pop(far_name))

    def delete(self):
        for link in self.links.values():
            os.close(link)
        for namespace in self.all:
            namespace.delete()

