"""The names by which a service is reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class HostName:
    """A host as a header names it: `name` or `name:port`, in lower case.

    Examples:
        >>> HostName.parse("Pictures.example.org:8443")
        HostName(name='pictures.example.org', port=8443)
    """

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> HostName | None:
        """Return what `text` names, or None if it names nothing."""
        try:
            parts = urlsplit(f"//{text}")
            name, port = parts.hostname, parts.port
        except ValueError:
            return None
        if not name or parts.netloc != text or "@" in text:
            return None
        return cls(name.rstrip("."), port)

    @classmethod
    def of_origin(cls, origin: str) -> HostName | None:
        """Return an Origin header's host, or None if it names none."""
        _, separator, rest = origin.partition("://")
        return cls.parse(rest) if separator else None

    def among(self, allowed: Iterable[HostName]) -> bool:
        """Say whether one of `allowed` is this host; one without a port allows every port."""
        return any(
            self.name == one.name and (None in (self.port, one.port) or self.port == one.port)
            for one in allowed
        )
