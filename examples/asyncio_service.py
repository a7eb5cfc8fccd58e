# For whoever has an asyncio service already: ftsdk inside it, without holding its event loop.
"""Usage: pip install "ftsdk[cpu,serve]"; python examples/asyncio_service.py 8001

    curl --data-binary @face.jpg http://127.0.0.1:8001/

`ft-serve` is the whole of it: streaming, corrections, limits on who asks and how often, metrics.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import ftsdk

SECONDS, LARGEST, AT_ONCE = 10, 32_000_000, 2


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Load the model once, before the first request."""
    with ftsdk.Analyzer() as analyzer:
        app.state.analyzer, app.state.places = analyzer, asyncio.Semaphore(AT_ONCE)
        yield


async def analyse(request: Request) -> Response:
    """Answer a picture; a time-out stops the engine too, within a token."""
    picture = bytearray()
    async for chunk in request.stream():
        picture += chunk
        if len(picture) > LARGEST:
            return JSONResponse({"error": "too large"}, 413)
    try:
        async with asyncio.timeout(SECONDS), request.app.state.places:
            result = await request.app.state.analyzer.analyze_async(bytes(picture))
    except TimeoutError:
        return JSONResponse({"error": "too busy"}, 503)
    except ftsdk.FtsdkError as error:
        return JSONResponse({"error": error.what, "cure": error.cure}, 422)
    return JSONResponse({"finding": result.finding, "report": result.report})


app = Starlette(routes=[Route("/", analyse, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]))
