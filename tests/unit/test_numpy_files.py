"""Arrays from files that others wrote: what they claim is compared before it is allocated."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ftsdk.numpy_files import array_in, arrays_in


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz(compressed: bool = False, **arrays: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype=np.uint16).reshape(2, 3)),
        np.array(7),
        np.zeros((0, 3)),
        np.array(["nose", "lip"]),
    ],
)
def test_what_numpy_wrote_is_read(array: NDArray[Any]) -> None:
    np.testing.assert_array_equal(array_in(npy(array)), array)
    (read,) = arrays_in(npz(one=array)).values()
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


def claiming(shape: str, descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        npy(np.array([{}], object)),
        npy(np.zeros(3))[:-1],
        npy(np.zeros(3)) + b"\0",
        npy(np.zeros(3, "f4,i2")),
        claiming("(1152921504606846976,)"),
        claiming("(-2,)"),
        claiming("(3,)"),
        claiming("(2,)", "'O'"),
        claiming("(2,)", "'" + "(" * 500),
    ],
)
def test_what_is_no_array_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        array_in(content)


def test_what_unpacks_to_more_than_is_allowed_is_refused_unread() -> None:
    bomb = npz(compressed=True, one=np.zeros(10**6))
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="8000"):
        arrays_in(bomb)
    with pytest.raises(ValueError, match="8000"):
        arrays_in(bomb, most=10**6)
    assert arrays_in(bomb, most=10**7)["one"].shape == (10**6,)


def test_members_that_share_their_bytes_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one.npy", npy(np.zeros(1000)))
        archive.filelist = archive.filelist * 50
    with pytest.raises(ValueError, match=r"."):
        arrays_in(file.getvalue())


WHOLE = [npz(compressed, a=np.arange(9.0), b=np.ones(2)) for compressed in (False, True)]


@settings(max_examples=150)
@given(data=st.data())
def test_damage_raises_nothing_but_value_errors(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(ValueError):
        arrays_in(bytes(content), most=1 << 20)
