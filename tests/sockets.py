"""Which sockets a program and all its processes listen on."""

from __future__ import annotations

import ipaddress
from pathlib import Path


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def listening(root: int) -> set[tuple[str, int]]:
    """Address and port of each TCP socket that a program listens on."""
    table = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A":  # LISTEN
                table[cells[9]] = cells[1]
    found = set()
    for pid in family(root):
        try:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                target = str(link.readlink())
                if target.startswith("socket:[") and (address := table.get(target[8:-1])):
                    found.add(_readable(address))
        except OSError:  # it has just ended
            continue
    return found


def outside(root: int) -> set[tuple[str, int]]:
    """The sockets of `listening` that other machines can reach."""

    def loopback(host: str) -> bool:
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    return {(host, port) for host, port in listening(root) if not loopback(host)}


def _readable(address: str) -> tuple[str, int]:
    """``0100007F:1F90`` as 127.0.0.1 and 8080: words of 32 bits, each in the machine's order."""
    host, port = address.split(":")
    words = bytes.fromhex(host)
    packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return str(ipaddress.ip_address(packed)), int(port, 16)
