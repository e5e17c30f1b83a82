"""A network namespace of the test's own: nothing leaves it, and all of its ports are free.

Janus and browsers refuse loopback addresses for media, so there is a link of the namespace's own.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
ADDRESS = "10.77.0.1"
"""Of the namespace's only link besides loopback."""
_SET_UP = (
    "ip link set lo up",
    "ip link add v0 type veth peer name v1",
    f"ip address add {ADDRESS}/24 dev v0",
    "ip link set v0 up",
    "ip link set v1 up",
    "ip route add default dev v0",
)


@contextmanager
def network_namespace() -> Iterator[None]:
    """Inside, sockets and processes made by this thread live in a namespace of their own.

    Needs to be root, or to have CAP_SYS_ADMIN and CAP_NET_ADMIN.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(libc.unshare(CLONE_NEWNET), "making a network namespace")
        try:
            for command in _SET_UP:
                subprocess.run(command.split(), check=True)  # noqa: S603
            yield
        finally:
            _check(libc.setns(outside, CLONE_NEWNET), "leaving the network namespace")
    finally:
        os.close(outside)


def dropped_datagrams() -> int:
    """UDP datagrams that full socket buffers have cost in this thread's namespace."""
    lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index("RcvbufErrors")])


def _check(status: int, what: str) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
