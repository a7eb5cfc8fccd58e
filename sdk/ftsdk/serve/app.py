"""The ASGI application: API, page, and a model that is warm before it is ready."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from ftsdk.cli.terminal import show_error
from ftsdk.errors import FtsdkError
from ftsdk.serve import errors, kept_routes, routes, status
from ftsdk.serve.access import Access
from ftsdk.serve.analyses import MemoryStore
from ftsdk.serve.clients import TokenThrottle
from ftsdk.serve.documents import RefineRequest, SessionRequest
from ftsdk.serve.inference import routes as inference
from ftsdk.serve.inference.documents import InferenceRequest
from ftsdk.serve.service import Service
from ftsdk.serve.settings import Settings
from ftsdk.version import __version__

STATIC = Path(__file__).parent / "static"
_PRUNE_SECONDS = 30.0


def create_app(settings: Settings) -> FastAPI:
    """Load the bundle and return the application; it warms up when it is started.

    Raises:
        BundleError, EngineError: the bundle does not load.
    """
    service = Service(settings)
    app = FastAPI(
        title="ftsdk",
        version=__version__,
        description="Where a face picture may have been manipulated, and why.",
        docs_url=None,  # FastAPI's documentation pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.service = service
    app.state.throttle = TokenThrottle()
    errors.install(app, service)
    app.include_router(status.router)
    app.include_router(routes.router)
    app.include_router(kept_routes.router)
    app.include_router(inference.router)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _name_bodies(app)
    app.add_middleware(Access, settings=settings, throttle=app.state.throttle)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_warm_up(app, service)), loop.create_task(_prune(service))]
    try:
        yield
    finally:
        service.draining = True
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await loop.run_in_executor(None, service.close)


async def _warm_up(app: FastAPI, service: Service) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, app.openapi)  # takes long enough to hold a loop up
        await loop.run_in_executor(None, service.warm_up)
        await loop.run_in_executor(None, _settle)
    except FtsdkError as error:
        show_error(error, "the golden picture")
        signal.raise_signal(signal.SIGTERM)  # a service that can never be ready should not stay


def _settle() -> None:
    """Keep later collections of garbage from going through all that is loaded, lock in hand."""
    gc.collect()
    gc.freeze()


async def _prune(service: Service) -> None:
    while isinstance(service.store, MemoryStore):
        await asyncio.sleep(_PRUNE_SECONDS)
        service.store.prune()


async def _page() -> Response:
    return FileResponse(STATIC / "index.html")


def _name_bodies(app: FastAPI) -> None:
    """Let OpenAPI know the bodies that are read by hand."""
    plain = app.openapi

    def described() -> dict[str, object]:
        if app.openapi_schema is None:
            document = plain()
            for model in (RefineRequest, SessionRequest, InferenceRequest):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                named = schema.pop("$defs", {}) | {model.__name__: schema}
                document["components"]["schemas"] |= named
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
