"""`ft-serve`: the analyst's page and the HTTP service behind it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from ftsdk.cli.console import BundleOption, VersionOption, out
from ftsdk.cli.terminal import exit_on_error
from ftsdk.errors import EngineNotInstalledError, OptionError
from ftsdk.serve.hosts import HostName
from ftsdk.serve.settings import LOOPBACK_NAMES, LOOPBACK_PROXIES, QUEUED, Settings, is_loopback

_EXAMPLE = "Example: ft-serve --port 8000   (then open http://127.0.0.1:8000)"
_MEGA = 10**6
_GIGA = 10**9
_MIN_TOKEN = 16
app = typer.Typer(add_completion=False, rich_markup_mode="rich")

# Where analyses are kept.
_Store = Annotated[Path | None, typer.Option(help="Keep every analysis in this directory instead.")]
_StoreGigabytes = Annotated[
    float, typer.Option(min=0.001, help="Size of the store; then pictures are refused.")
]
# Who may reach it, and how.
_TokenFile = Annotated[Path | None, typer.Option(help="Ask clients for the token in this file.")]
_AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="A name (or name:port) by which it is reached, behind a proxy. Repeatable."),
]
_Proxy = Annotated[
    list[str] | None,
    typer.Option(help="Address of a proxy whose X-Forwarded-For is true. Repeatable."),
]
_Connections = Annotated[
    int, typer.Option(min=4, help="Connections at a time; a quarter of them from one address.")
]


@app.command(epilog=_EXAMPLE)
def serve(
    bundle: BundleOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or a provider's.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="In one operator; 0: as many as cores.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Pictures analysed at a time.")] = 1,
    queue: Annotated[int, typer.Option(min=0, help="Pictures that may wait.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for a request in all.")] = 120,
    upload_timeout: Annotated[float, typer.Option(min=1, help="Seconds for an upload.")] = 30,
    max_megabytes: Annotated[float, typer.Option(min=0.01, help="Size of an upload.")] = 32,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Size of a picture.")] = 40,
    keep: Annotated[int, typer.Option(min=1, help="Analyses kept in memory.")] = 64,
    keep_minutes: Annotated[float, typer.Option(min=0.1, help="Age at which they go.")] = 60,
    store: _Store = None,
    store_gigabytes: _StoreGigabytes = 20,
    token_file: _TokenFile = None,
    allow_host: _AllowHost = None,
    proxy: _Proxy = None,
    connections: _Connections = 512,
    _version: VersionOption = False,
) -> None:
    """Serve the analyst's page and the HTTP API."""
    with exit_on_error():
        names = tuple(map(_host_name, allow_host or ()))
        settings = Settings(
            bundle=bundle,
            device=device,
            threads=threads,
            workers=workers,
            queue=queue,
            timeout=timeout,
            upload_timeout=upload_timeout,
            max_bytes=round(max_megabytes * _MEGA),
            max_pixels=round(max_megapixels * _MEGA),
            keep=keep,
            keep_seconds=keep_minutes * 60,
            store=store,
            store_bytes=round(store_gigabytes * _GIGA),
            token=_token(token_file, host),
            hosts=(*_own_names(host), *names),
            names=names,
            connections=connections,
            proxies=tuple(proxy or LOOPBACK_PROXIES),
        )
        with _listen(host, port) as listening:
            _run(settings, listening)


def _token(file: Path | None, host: str) -> str | None:
    if file is None:
        if is_loopback(host):
            return None
        raise _bad_token(
            f"listening on {host} lets others in", "--token-file FILE", "no --token-file"
        )
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_token("the token file cannot be read", "a text file", str(error)) from error
    if len(token) < _MIN_TOKEN:
        found = f"{len(token)} characters"
        raise _bad_token("the token is too short", f"{_MIN_TOKEN} characters or more", found)
    return token


def _bad_token(what: str, expected: str, found: str) -> OptionError:
    cure = "openssl rand -hex 32 > token.txt; ft-serve --token-file token.txt"
    return OptionError(what, expected=expected, found=found, cure=cure)


def _host_name(text: str) -> HostName:
    name = HostName.parse(text)
    if name is None:
        raise OptionError(
            "a name of --allow-host is none",
            expected="a host name, or name:port",
            found=text[:200],
            cure="ft-serve --allow-host pictures.example.org",
        )
    return name


def _own_names(host: str) -> tuple[HostName, ...]:
    """Return what a service on loopback is called; any other is called by --allow-host."""
    return (*LOOPBACK_NAMES, HostName(host)) if is_loopback(host) else ()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that holds the port before anything is loaded.

    Raises:
        OptionError: the address is not this machine's, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=QUEUED)
    except OSError as error:
        raise OptionError(
            f"cannot listen on {_shown(host)}:{port}",
            expected="an address of this machine, and a port that is free",
            found=error.strerror or str(error),
            cure="name another --port, or stop what listens there",
        ) from error


def _run(settings: Settings, listening: socket.socket) -> None:
    try:
        from ftsdk.serve.app import create_app
        from ftsdk.serve.server import serve_on
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "ftsdk":
            raise
        raise EngineNotInstalledError(
            "the service's packages are not installed",
            expected="fastapi, uvicorn, python-multipart and prometheus-client",
            found=str(error),
            cure='pip install "ftsdk[serve]"',
        ) from error
    host, port = listening.getsockname()[:2]

    def tell() -> None:
        out.print(
            f"ftsdk listens on http://{_shown(host)}:{port} (Ctrl+C stops it)", soft_wrap=True
        )

    serve_on(listening, create_app(settings), settings, tell)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def main() -> None:
    """Run the command."""
    app()
