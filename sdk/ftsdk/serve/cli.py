"""`ft-serve`: the analyst's page and the HTTP service behind it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ftsdk.cli.console import WRONG_USE, err, exit_on_error, out
from ftsdk.errors import EngineNotInstalledError, OptionError
from ftsdk.serve.settings import LOOPBACK_NAMES, Settings, is_loopback

if TYPE_CHECKING:
    import uvicorn

_EXAMPLE = "Example: ft-serve --port 8000   (then open http://127.0.0.1:8000)"
_MEGA = 10**6
_MIN_TOKEN = 16
# Longer than clients and proxies keep idle connections, so that they close them, not we: a request
# that crosses our closing would be lost.
_KEEP_ALIVE = 75

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def serve(
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle directory; the built-in nano model if none.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="In one operator; 0: as many as cores.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Pictures analysed at a time.")] = 1,
    queue: Annotated[int, typer.Option(min=0, help="Pictures that may wait.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a picture may take.")] = 120,
    upload_timeout: Annotated[float, typer.Option(min=1, help="Seconds for an upload.")] = 30,
    max_megabytes: Annotated[float, typer.Option(min=0.01, help="Size of an upload.")] = 32,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Size of a picture.")] = 40,
    keep: Annotated[int, typer.Option(min=1, help="Analyses kept in memory.")] = 64,
    keep_minutes: Annotated[float, typer.Option(min=0.1, help="Age at which they go.")] = 60,
    store: Annotated[
        Path | None, typer.Option(help="Keep every analysis in this directory instead.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Ask clients for the token in this file.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which the service is reached, behind a proxy. Repeatable."),
    ] = None,
) -> None:
    """Serve the analyst's page and the HTTP API."""
    with exit_on_error():
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
            token=_token(token_file, host),
            hosts=_hosts(host, tuple(allow_host or ())),
        )
        _run(settings, host, port)


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


def _hosts(host: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if is_loopback(host):
        return tuple(dict.fromkeys((*LOOPBACK_NAMES, host, *allowed)))
    return allowed


def _run(settings: Settings, host: str, port: int) -> None:
    try:
        import uvicorn

        from ftsdk.serve.app import create_app
    except ImportError as error:
        raise EngineNotInstalledError(
            "the service's packages are not installed",
            expected="fastapi, uvicorn, python-multipart and prometheus-client",
            found=str(error),
            cure='pip install "ftsdk[serve]"',
        ) from error
    application = create_app(settings)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=round(settings.timeout),
    )
    server = _server(config, application.state.service)
    out.print(f"ftsdk listens on http://{_shown(host)}:{port} (Ctrl+C stops it)", soft_wrap=True)
    server.run()
    if not server.started:
        err.print(f"[bold red]error[/] cannot listen on {host}:{port}")
        sys.exit(WRONG_USE)


def _server(config: uvicorn.Config, service: object) -> uvicorn.Server:
    """Return a server that says so as soon as it is told to stop."""
    import uvicorn

    class DrainingServer(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.draining = True  # type: ignore[attr-defined]
            super().handle_exit(sig, frame)

    return DrainingServer(config)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def main() -> None:
    """Run the command."""
    app()
