"""Uploads: how many bytes, in how many seconds, and is it a picture of a size that is taken?"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ftsdk.errors import ImageFormatError, ImageSizeError, RequestError
from ftsdk.imaging.header import read_size
from ftsdk.imaging.picture import check_size
from ftsdk.serve.settings import Settings

FIELD = "picture"
MAX_JSON_BYTES = 8 * 2**20
_NAME_LENGTH = 120
_PATIENCE = 2.0


@dataclass(frozen=True)
class Upload:
    """A picture file as it came, and what the client calls it."""

    data: bytes
    name: str

    def open(self) -> io.BytesIO:
        """Return a file object that carries the name."""
        file = io.BytesIO(self.data)
        file.name = self.name
        return file


async def read_upload(request: Request, name: str, settings: Settings) -> Upload:
    """Read a picture from a multipart form (field `picture`) or from the bare body.

    Raises:
        RequestError: no picture in the form, or it did not arrive in time.
        ImageFormatError: neither a form nor a picture.
        ImageSizeError: too many bytes, or too many pixels by the header.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = kind == "multipart/form-data"
    if not (form or kind.startswith("image/") or kind in ("application/octet-stream", "")):
        raise ImageFormatError(
            "this media type is no picture",
            expected="multipart/form-data, image/* or application/octet-stream",
            found=kind[:80],
            cure=f"send the file's bytes, or a form with the file in the field '{FIELD}'",
        )
    body = await read_body(request, settings.max_bytes, settings.upload_timeout)
    upload = await _from_form(request, body) if form else Upload(body, clean_name(name))
    check_size(*read_size(upload.data), settings.max_pixels)
    return upload


async def read_body(request: Request, limit: int, timeout: float) -> bytes:
    """Return the body of a request.

    Raises:
        ImageSizeError: more than `limit` bytes; no more than that is ever held.
        RequestError: not there after `timeout` seconds.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit, announced)
    try:
        return await asyncio.wait_for(_collect(request, limit), timeout)
    except (TimeoutError, asyncio.TimeoutError) as error:
        raise RequestError(
            "the upload took too long",
            expected=f"the whole body within {timeout:g} s",
            found="less",
            cure="send a smaller picture, or raise --upload-timeout",
        ) from error


async def discard(request: Request, limit: int) -> None:
    """Read what a refused client still sends, so that it gets to read the answer."""
    with suppress(Exception):
        await asyncio.wait_for(_skip(request, limit), _PATIENCE)


def clean_name(name: str) -> str:
    """Return the last part of a file name, without control characters, at most 120 long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(character for character in last if character.isprintable()).strip(" .")
    return visible[-_NAME_LENGTH:] or "picture"


async def _collect(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit, f"more than {limit}")
    return bytes(body)


async def _skip(request: Request, limit: int) -> None:
    skipped = 0
    async for chunk in request.stream():
        skipped += len(chunk)
        if skipped > limit:
            return


def _too_large(limit: int, found: str) -> ImageSizeError:
    return ImageSizeError(
        "the upload is too large",
        expected=f"at most {limit} bytes",
        found=f"{found[:20]} bytes",
        cure="save the picture with compression, or raise --max-megabytes",
    )


async def _from_form(request: Request, body: bytes) -> Upload:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MultiPartParser(request.headers, chunks(), max_files=1, max_fields=4)
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError, AssertionError) as error:
        raise _bad_form(str(error)[:200] or type(error).__name__) from error
    try:
        part = form.get(FIELD)
        if not isinstance(part, UploadFile):
            raise _bad_form(f"the fields {', '.join(form)[:200] or 'none'}")
        return Upload(await part.read(), clean_name(part.filename or ""))
    finally:
        await form.close()


def _bad_form(found: str) -> RequestError:
    return RequestError(
        "the form holds no picture",
        expected=f"multipart/form-data with one file in the field '{FIELD}'",
        found=found,
        cure=f"curl -F {FIELD}=@face.jpg",
    )
