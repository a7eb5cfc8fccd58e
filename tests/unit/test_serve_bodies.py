"""Bodies of strangers: forms stay in memory, JSON is counted before it is parsed."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import File

from ftsdk.errors import FtsdkError, OptionError, QueueFullError, RequestError
from ftsdk.serve.bodies import parse_json
from ftsdk.serve.budget import Budget
from ftsdk.serve.documents import MAX_RUNS, REFINE_LIMITS, RefineRequest
from ftsdk.serve.uploads import Body

_ID = b'"id": "' + b"a" * 22 + b'"'
_FORM = "multipart/form-data; boundary=edge"


def _mask(lengths: bytes) -> bytes:
    mask = b'{"width": 9, "height": 9, "run_lengths": ' + lengths + b"}"
    return b"{" + _ID + b', "mask": ' + mask + b"}"


@pytest.mark.parametrize(
    "body",
    [
        _mask(b"[" + b'"x",' * 10**6 + b"1]"),
        _mask(b"[" + b"1.5," * MAX_RUNS + b"1]"),
        _mask(b"[" + b"null," * 900_000 + b"1]"),
        _mask(b"[" * 4 * 10**6),
        _mask(b"[" + b"9" * 8_000_000 + b"]"),
        _mask(b"[1]")[:-1] + b"".join(b', "k%d": 1' % number for number in range(300_000)) + b"}",
        b"[" * 8 * 10**6,
        b'{"a":' * 10**6,
        b"{" + _ID + b"}",
        b" " * (8 * 2**20 + 1),
        b"\xff\xfe",
        b"",
    ],
)
def test_a_correction_of_any_shape_is_refused_with_one_error(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_json(RefineRequest, body, REFINE_LIMITS)
    assert len(str(caught.value)) < 1000


def test_the_largest_correction_is_taken() -> None:
    body = _mask(b"[" + b"1," * (MAX_RUNS - 1) + b"1]")
    mask = parse_json(RefineRequest, body, REFINE_LIMITS).mask
    assert mask is not None
    assert len(mask.run_lengths) == MAX_RUNS


@given(st.binary(max_size=300))
def test_any_bytes_are_a_correction_or_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse_json(RefineRequest, body, REFINE_LIMITS)


def _part(name: str, content: bytes, *lines: str) -> bytes:
    file = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="f.png"\r\n'
    return (file + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode() + content + b"\r\n"


def _nothing() -> None: ...


def test_a_form_of_many_megabytes_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def spooled(_: File) -> None:
        raise AssertionError("written to a disk")

    monkeypatch.setattr(File, "flush_to_disk", spooled)
    content = bytes(range(256)) * 2**15
    body = Body(_part("picture", content) + b"--edge--\r\n", _FORM, "unused")
    upload = body.upload(_nothing)
    assert (upload.data, upload.name) == (content, "f.png")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", _FORM),
        (b"--edge--\r\n", _FORM),
        (_part("other", b"x") + b"--edge--\r\n", _FORM),
        (_part("p", b"x") * 100_000 + b"--edge--\r\n", _FORM),
        (b"--edge\r\n" + b"a: b\r\n" * 100_000, _FORM),
        (b"--edge\r\n\r\n\r\n", _FORM),
        (_part("picture", b"x"), "multipart/form-data"),
        (_part("picture", b"x"), "multipart/form-data; boundary=" + "x" * 5000),
        (_part("picture", b"!", "Content-Transfer-Encoding: base64") + b"--edge--\r\n", _FORM),
    ],
)
def test_a_form_of_another_shape_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(RequestError):
        Body(data, kind, "n").upload(_nothing)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_refused(data: bytes) -> None:
    body = Body(b"--edge" + data, _FORM, "n")
    try:
        upload = body.upload(_nothing)
    except FtsdkError:
        return
    assert len(upload.data) <= len(data)


def test_reading_a_form_can_be_given_up() -> None:
    def give_up() -> None:
        raise OptionError("given up", expected="", found="", cure="")

    with pytest.raises(OptionError):
        Body(_part("picture", b"x") + b"--edge--\r\n", _FORM, "n").upload(give_up)


def test_one_client_holds_half_of_the_budget_at_most() -> None:
    budget = Budget(200, 50)
    hold = budget.hold("a")
    hold.grow(100)
    with pytest.raises(QueueFullError):
        budget.hold("a").grow(1)
    budget.hold("b").grow(100)
    with pytest.raises(QueueFullError):
        budget.hold("c").grow(1)
    hold.release()
    hold.release()
    assert budget.held == 100


def test_an_upload_of_the_largest_size_always_fits() -> None:
    hold = Budget(10, 50).hold("a")
    hold.grow(50)
    with pytest.raises(QueueFullError):
        hold.grow(1)
