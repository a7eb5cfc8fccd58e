"""What `ft-serve` was told, in one place."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ftsdk.serve.hosts import HostName
from ftsdk.trust import BundleName

LOOPBACK_NAMES = (HostName("localhost"), HostName("127.0.0.1"), HostName("::1"))
# Connections that the system holds until they are accepted.
QUEUED = 1024
LOOPBACK_PROXIES = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    Attributes:
        bundle: a bundle directory; None is the model that comes with the package.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a provider's, such as `openvino:npu`.
        threads: threads inside one operator; 0 lets the runtime choose.
        workers: pictures that are analysed at the same time.
        queue: pictures that may wait for a worker; one more is refused.
        max_bytes: size of an upload, in bytes.
        max_pixels: width times height of a picture, read from its header.
        upload_timeout: seconds in which an upload must have arrived.
        timeout: seconds for upload, waiting and analysis together.
        keep: analyses that are kept in memory.
        keep_bytes: memory that kept analyses may take; the oldest go first.
        keep_seconds: age at which an analysis is dropped from memory.
        store: a directory that keeps analyses for good; None keeps them in memory only.
        store_bytes: disk that they may take there; then new pictures are refused.
        token: what clients must present; None asks for nothing.
        hosts: what requests may be addressed to; empty allows all.
        names: those of them whose own pages may be on another port than the proxy passes on.
        connections: connections at a time; a quarter of them from one address.
        proxies: addresses of proxies that tell whom they speak for (X-Forwarded-For).
    """

    bundle: str | Path | BundleName | None = None
    device: str = "auto"
    threads: int = 0
    workers: int = 1
    queue: int = 8
    max_bytes: int = 32 * 2**20
    max_pixels: int = 40_000_000
    upload_timeout: float = 30.0
    timeout: float = 120.0
    keep: int = 64
    keep_bytes: int = 2**30
    keep_seconds: float = 3600.0
    store: Path | None = None
    store_bytes: int = 20 * 10**9
    token: str | None = None
    hosts: tuple[HostName, ...] = LOOPBACK_NAMES
    names: tuple[HostName, ...] = ()
    connections: int = 512
    proxies: tuple[str, ...] = LOOPBACK_PROXIES


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
