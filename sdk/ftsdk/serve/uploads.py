"""Uploads: how many bytes, in how many seconds, and which of them are the picture."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header
from starlette.requests import Request

from ftsdk.errors import FtsdkError, ImageFormatError, ImageSizeError, RequestError
from ftsdk.serve.budget import Hold
from ftsdk.serve.picture_file import Upload
from ftsdk.text import last_name

FIELD = "picture"
_FORM = "multipart/form-data"
_MOST_PARTS = 4
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Body:
    """A request's body, as yet unread: a form, or the bare picture.

    Attributes:
        data: all of it.
        content_type: as the client says.
        name: what a bare picture is called.
    """

    data: bytes
    content_type: str
    name: str

    def upload(self, check: Callable[[], None]) -> Upload:
        """Return the picture in it; not for the event loop.

        Args:
            check: called again and again; what it raises ends the search.

        Raises:
            RequestError: a form without a picture.
        """
        if not self.content_type.lower().startswith(_FORM):
            return Upload(self.data, last_name(self.name))
        return _from_form(self, check)


def check_media_type(content_type: str) -> None:
    """Raise ImageFormatError where a body says that it is no picture."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in (_FORM, "application/octet-stream", ""):
        return
    raise ImageFormatError(
        "this media type is no picture",
        expected="multipart/form-data, image/* or application/octet-stream",
        found=kind[:80],
        cure=f"send the file's bytes, or a form with the file in the field '{FIELD}'",
    )


async def read_body(request: Request, limit: int, seconds: float, hold: Hold) -> bytes:
    """Return the body of a request.

    Raises:
        ImageSizeError: more than `limit` bytes; no more than that is ever held.
        RequestError: not there after `seconds`.
        QueueFullError: the service holds as many bytes as it may.
    """
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit, announced)
    try:
        return await asyncio.wait_for(_collect(request, limit, hold), seconds)
    except TimeoutError as error:
        raise RequestError(
            "the upload took too long",
            expected=f"the whole body within {seconds:g} s",
            found="less",
            cure="send a smaller picture, or raise --upload-timeout and --timeout",
        ) from error


async def _collect(request: Request, limit: int, hold: Hold) -> bytes:
    body = io.BytesIO()
    async for chunk in request.stream():
        if body.tell() + len(chunk) > limit:
            raise _too_large(limit, f"more than {limit}")
        hold.grow(len(chunk))
        body.write(chunk)
    return body.getvalue()  # not copied


def _too_large(limit: int, found: str) -> ImageSizeError:
    return ImageSizeError(
        "the upload is too large",
        expected=f"at most {limit} bytes",
        found=f"{found[:20]} bytes",
        cure="save the picture with compression, or raise --max-megabytes",
    )


@dataclass
class _Parts:
    """What a form holds. It stays in memory: a service on a read-only disk has nowhere else."""

    names: list[str] = field(default_factory=list)
    picture: File | None = None

    def on_field(self, part: Field) -> None:
        self._note(part.field_name)

    def on_file(self, part: File) -> None:
        self._note(part.field_name)
        if (part.field_name or b"").decode(errors="replace") == FIELD and self.picture is None:
            self.picture = part

    def _note(self, name: bytes | None) -> None:
        self.names.append((name or b"").decode(errors="replace")[:40])
        if len(self.names) > _MOST_PARTS:
            raise FormParserError(f"more than {_MOST_PARTS} parts")


def _from_form(body: Body, check: Callable[[], None]) -> Upload:
    parts = _Parts()
    try:
        _, options = parse_options_header(body.content_type)
        parser = FormParser(
            _FORM,
            parts.on_field,
            parts.on_file,
            boundary=options.get(b"boundary"),
            config={"MAX_MEMORY_FILE_SIZE": float("inf")},
        )
        for start in range(0, len(body.data), _CHUNK):
            check()
            parser.write(body.data[start : start + _CHUNK])
        parser.finalize()
    except FtsdkError:
        raise
    except Exception as error:  # whatever a broken form makes of the parser
        raise _bad_form(str(error)[:200] or type(error).__name__) from error
    picture = parts.picture
    if picture is None:
        raise _bad_form(f"the fields {', '.join(parts.names) or 'none'}")
    content = picture.file_object
    assert isinstance(content, io.BytesIO)
    name = (picture.file_name or b"").decode(errors="replace")
    return Upload(content.getvalue(), last_name(name))


def _bad_form(found: str) -> RequestError:
    return RequestError(
        "the form holds no picture",
        expected=f"multipart/form-data with one file in the field '{FIELD}'",
        found=found,
        cure=f"curl -F {FIELD}=@face.jpg",
    )
