"""Who a request comes from, and how often that address may be wrong about the token."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

_BURST = 10.0
_PER_SECOND = 1.0
_ADDRESSES = 4096
_IPV6_NETWORK = 64


def client_of(scope: Scope) -> str:
    """Return whom a request is counted for: an IPv4 address, or the /64 network of an IPv6 one."""
    peer = scope.get("client")
    return network_of(peer[0]) if peer else ""


def network_of(address: str) -> str:
    """Return what one customer of a provider has: an IPv4 address, or an IPv6 network of /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed.packed, _IPV6_NETWORK), strict=False))
    return str(parsed)


@dataclass
class _Trust:
    tries: float
    at: float
    proven: bool = False


class TokenThrottle:
    """Ten wrong tokens at once from an address, then one a second.

    An address from which the right token came is never held back: its users would pay for a
    neighbour's guesses.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Trust] = OrderedDict()

    def held_back(self, client: str) -> bool:
        """Say whether a token of this client is not even looked at now."""
        trust = self._trust(client)
        return not trust.proven and trust.tries < 1

    def tell(self, client: str, right: bool) -> None:
        """Note that a token was right, or wrong."""
        trust = self._trust(client)
        trust.proven |= right
        if not right:
            trust.tries = max(0.0, trust.tries - 1)

    def _trust(self, client: str) -> _Trust:
        now = self._clock()
        trust = self._known.setdefault(client, _Trust(_BURST, now))
        trust.tries = min(_BURST, trust.tries + (now - trust.at) * _PER_SECOND)
        trust.at = now
        self._known.move_to_end(client)
        while len(self._known) > _ADDRESSES:
            self._known.popitem(last=False)
        return trust
