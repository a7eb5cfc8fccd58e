"""How many bytes of requests the service holds at a time, and how many of one client."""

from __future__ import annotations

from collections import Counter

from ftsdk.errors import QueueFullError


class Budget:
    """At most `nbytes` of all requests together, and half of that of one client.

    One upload of the largest size always fits into a client's half.
    """

    def __init__(self, nbytes: int, largest: int) -> None:
        self._limit = max(nbytes, 2 * largest)
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held.total()

    def hold(self, client: str) -> Hold:
        """Return an empty share of a client."""
        return Hold(self, client)

    def take(self, client: str, nbytes: int) -> None:
        """Count bytes that are about to be held.

        Raises:
            QueueFullError: they would be too many; none was counted.
        """
        own = self._held[client] + nbytes
        if own > self._limit // 2 or self.held + nbytes > self._limit:
            raise QueueFullError(
                "as many bytes of pictures wait already as may",
                expected=f"at most {self._limit} at a time, and half of that of one client",
                found=f"{self.held}, and {self._held[client]} of this client",
                cure="try again in a few seconds",
            )
        self._held[client] = own

    def give_back(self, client: str, nbytes: int) -> None:
        """Count bytes that are no longer held."""
        self._held[client] -= nbytes
        if not self._held[client]:
            del self._held[client]


class Hold:
    """A client's share of the budget, for one request."""

    def __init__(self, budget: Budget, client: str) -> None:
        self._budget = budget
        self.client = client
        self._nbytes = 0

    def grow(self, nbytes: int) -> None:
        """Hold more bytes, or raise QueueFullError."""
        self._budget.take(self.client, nbytes)
        self._nbytes += nbytes

    def release(self) -> None:
        """Hold nothing any more; may be called more than once."""
        self._budget.give_back(self.client, self._nbytes)
        self._nbytes = 0
