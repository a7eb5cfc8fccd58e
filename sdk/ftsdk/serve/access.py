"""Who may talk to the service, and what browsers may do with its answers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftsdk.errors import RequestError, ThrottledError, TokenError
from ftsdk.serve.clients import TokenThrottle, client_of
from ftsdk.serve.hosts import HostName
from ftsdk.serve.refusals import refuse
from ftsdk.serve.settings import Settings

COOKIE = "ftsdk_session"
SESSION_PATH = "/v1/session"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_GUARDED = ("/v1/", "/v2", "/metrics")
# Kubernetes asks a pod by its address; the answer says nothing but that it lives.
_PROBES = ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")


class Access:
    """Checks host, origin and token before anything else, and adds the security headers.

    The host check keeps other sites from reaching a loopback service through a name of theirs
    (DNS rebinding); the origin check keeps their forms from posting to it.
    """

    def __init__(self, app: ASGIApp, settings: Settings, throttle: TokenThrottle) -> None:
        self._app = app
        self._token = settings.token
        self._hosts, self._names = settings.hosts, settings.names
        self._throttle = throttle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        app = self._app if refusal is None else refusal
        await app(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        path = request.scope["path"]
        given = request.headers.get("host", "")
        host = HostName.parse(given)
        allowed = not self._hosts or (host is not None and host.among(self._hosts))
        if not allowed and path not in _PROBES:
            return refuse(path, 403, _forbidden("host", _shown(self._hosts), given))
        origin = request.headers.get("origin")
        if origin is not None and not self._is_own(HostName.of_origin(origin), host):
            return refuse(path, 403, _forbidden("origin", given, origin))
        return self._without_token(request, path)

    def _is_own(self, origin: HostName | None, host: HostName | None) -> bool:
        """Say whether a page of the service itself asks.

        A proxy may name the host without its port; a name of --allow-host stands for its ports.
        """
        if origin is None or host is None:
            return False
        return origin == host or (origin.name == host.name and origin.among(self._names))

    def _without_token(self, request: HTTPConnection, path: str) -> Response | None:
        guarded = path.startswith(_GUARDED) and path not in _PROBES
        if self._token is None or not guarded:
            return None
        client = client_of(request.scope)
        if self._throttle.held_back(client):
            return refuse(path, 429, throttled(), {"Retry-After": "1"})
        if path == SESSION_PATH:  # the token is in its body
            return None
        bearer, cookie = _bearer(request.headers), request.cookies.get(COOKIE, "")
        right = same(bearer, self._token) or same(cookie, session_of(self._token))
        if bearer or cookie:
            self._throttle.tell(client, right)
        return None if right else refuse(path, 401, missing_token(), {"WWW-Authenticate": "Bearer"})


def session_of(token: str) -> str:
    """Return what a browser keeps in place of the token."""
    return hashlib.sha256(f"ftsdk session of {token}".encode()).hexdigest()


def same(given: str, right: str) -> bool:
    """Compare without telling by the time it takes how much was right."""
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def missing_token() -> TokenError:
    """Return the error for a request without the right token."""
    return TokenError(
        "this service asks for a token",
        expected="the header `Authorization: Bearer TOKEN`",
        found="none, or another token",
        cure="ask whoever started the service for the content of its --token-file",
    )


def throttled() -> ThrottledError:
    """Return the error for an address that was wrong too often."""
    return ThrottledError(
        "too many wrong tokens came from this address",
        expected="the right token",
        found="ten wrong ones or more",
        cure="wait a second, then ask with the content of the service's --token-file",
    )


def _bearer(headers: Headers) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _shown(hosts: Iterable[HostName]) -> str:
    return ", ".join(f"{one.name}:{one.port}" if one.port else one.name for one in hosts)


def _forbidden(what: str, expected: str, found: str) -> RequestError:
    return RequestError(
        f"requests from this {what} are not taken",
        expected=expected[:200],
        found=found[:200],
        cure="open the page by its own address, or start ft-serve with --allow-host NAME",
    )
