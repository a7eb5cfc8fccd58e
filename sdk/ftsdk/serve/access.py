"""Who may talk to the service, and what browsers may do with its answers."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftsdk.errors import FtsdkError, RequestError, TokenError
from ftsdk.serve.documents import compact, error_document
from ftsdk.serve.settings import Settings

COOKIE = "ftsdk_session"
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
_OPEN = ("/v1/session",)
_GUARDED = ("/v1/", "/metrics")


class Access:
    """Checks host, origin and token before anything else, and adds the security headers.

    The host check keeps other sites from reaching a loopback service through a name of theirs
    (DNS rebinding); the origin check keeps their forms from posting to it.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

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
        host = request.headers.get("host", "")
        if self._settings.hosts and _name(host) not in self._settings.hosts:
            return refuse(403, _forbidden("host", ", ".join(self._settings.hosts), host))
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return refuse(403, _forbidden("origin", host, origin))
        if self._settings.token is None or self._has_token(request, self._settings.token):
            return None
        headers = {"WWW-Authenticate": "Bearer"}
        return refuse(401, missing_token(), headers)

    def _has_token(self, request: HTTPConnection, token: str) -> bool:
        path = request.scope["path"]
        if path in _OPEN or not path.startswith(_GUARDED):
            return True
        cookie = request.cookies.get(COOKIE, "")
        return same(_bearer(request.headers), token) or same(cookie, session_of(token))


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


def refuse(status: int, error: FtsdkError, headers: dict[str, str] | None = None) -> Response:
    """Return an error as its JSON answer."""
    body = compact(error_document(error))
    return Response(body.encode(errors="replace"), status, headers, "application/json")


def _bearer(headers: Headers) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _forbidden(what: str, expected: str, found: str) -> RequestError:
    return RequestError(
        f"requests from this {what} are not taken",
        expected=expected[:200],
        found=found[:200],
        cure="open the page by its own address, or start ft-serve with --allow-host NAME",
    )
