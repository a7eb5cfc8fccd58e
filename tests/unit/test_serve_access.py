"""Who may ask: host names, origins, probes, and how often a token may be wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from ftsdk.serve.access import Access
from ftsdk.serve.clients import TokenThrottle, network_of
from ftsdk.serve.hosts import HostName
from ftsdk.serve.settings import LOOPBACK_NAMES, Settings

_TOKEN = "t" * 32


def _status(
    settings: Settings, path: str, throttle: TokenThrottle | None = None, **headers: str
) -> int:
    """Return the status of a request; 200 is what everything allowed gets."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing of a body is read")

    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http", "method": "GET", "path": path, "headers": encoded, "scheme": "http",
        "query_string": b"", "client": ("10.0.0.7", 1),
    }  # fmt: skip
    access = Access(app, settings, throttle or TokenThrottle())
    asyncio.run(access(scope, receive, send))
    status: int = sent[0]["status"]
    return status


def _named(*names: str) -> Settings:
    parsed = tuple(name for name in map(HostName.parse, names) if name)
    return Settings(hosts=parsed, names=parsed)


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("Pictures.example.org", "pictures.EXAMPLE.org", 200),
        ("pictures.example.org", "pictures.example.org:8443", 200),
        ("pictures.example.org", "pictures.example.org.", 200),
        ("pictures.example.org:8443", "pictures.example.org:8443", 200),
        ("pictures.example.org:8443", "pictures.example.org", 200),
        ("pictures.example.org:8443", "pictures.example.org:9000", 403),
        ("pictures.example.org", "evil.example.org", 403),
        ("pictures.example.org", "pictures.example.org.evil.example", 403),
        ("pictures.example.org", "evil@pictures.example.org", 403),
        ("pictures.example.org", "pictures.example.org:x", 403),
        ("pictures.example.org", "[", 403),
        ("pictures.example.org", "", 403),
    ],
)
def test_names_are_compared_as_names(allowed: str, host: str, status: int) -> None:
    assert _status(_named(allowed), "/v1/model", host=host) == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_probes_come_by_any_address(path: str) -> None:
    assert _status(_named("a.example"), path, host="10.1.2.3:8000") == 200


@pytest.mark.parametrize(
    ("allowed", "host", "origin", "status"),
    [
        ("a.example", "a.example", "https://a.example", 200),
        ("a.example", "a.example", "https://a.example:8443", 200),
        ("a.example:8443", "a.example", "https://a.example:8443", 200),
        ("a.example:8443", "a.example", "https://a.example:9000", 403),
        ("a.example", "a.example", "https://b.example", 403),
        ("a.example", "a.example", "null", 403),
        ("a.example", "a.example", "http://[", 403),
        ("a.example", "a.example", "http://a.example:99999999", 403),
        ("a.example", "a.example", "\x00\xff://", 403),
    ],
)
def test_pages_of_the_service_itself_may_ask(
    allowed: str, host: str, origin: str, status: int
) -> None:
    assert _status(_named(allowed), "/v1/model", host=host, origin=origin) == status


def test_a_page_on_another_loopback_port_may_not_ask() -> None:
    settings = Settings(hosts=LOOPBACK_NAMES)
    for origin, status in (("http://localhost:8000", 200), ("http://localhost:9000", 403)):
        assert _status(settings, "/v1/model", host="localhost:8000", origin=origin) == status
    assert _status(settings, "/v1/model", host="[::1]:8000") == 200


def test_an_address_may_be_wrong_ten_times_and_then_once_a_second() -> None:
    now = 0.0
    throttle = TokenThrottle(lambda: now)
    settings = Settings(hosts=(), token=_TOKEN)
    wrong, right = f"Bearer {'w' * 32}", f"Bearer {_TOKEN}"
    found = [_status(settings, "/v1/model", throttle, authorization=wrong) for _ in range(12)]
    assert found == [401] * 10 + [429] * 2
    assert _status(settings, "/v1/model", throttle, authorization=right) == 429
    now = 1.0
    assert _status(settings, "/v1/model", throttle, authorization=right) == 200
    found = [_status(settings, "/v1/model", throttle, authorization=wrong) for _ in range(20)]
    assert found == [401] * 20
    assert _status(settings, "/v1/model", throttle, authorization=right) == 200


def test_no_token_is_no_guess() -> None:
    throttle = TokenThrottle(lambda: 0.0)
    settings = Settings(hosts=(), token=_TOKEN)
    assert {_status(settings, "/metrics", throttle) for _ in range(30)} == {401}
    assert _status(settings, "/", throttle) == 200


def test_the_throttle_remembers_a_bounded_number_of_addresses() -> None:
    throttle = TokenThrottle(lambda: 0.0)
    for number in range(10_000):
        throttle.tell(str(number), right=False)
    assert len(throttle._known) == 4096


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_customer_has_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
