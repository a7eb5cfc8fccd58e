"""Arrays in the bytes of `.npy` and `.npz` files that somebody else may have written.

Nothing is allocated before the sizes that a file claims were compared with what it holds.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_KINDS = "biufU"


def array_in(content: bytes) -> NDArray[Any]:
    """Return the array of an `.npy` file [...]: a read-only view of its bytes.

    Raises:
        ValueError: it is none, of something else than numbers or text, or of another size than it
            says.
    """
    file = BytesIO(content)
    try:
        shape, by_column, dtype = _HEADERS[npy.read_magic(file)](file)
    except ValueError:
        raise
    except Exception as error:  # whatever a damaged header makes of its parser
        raise ValueError(f"no header of .npy: {type(error).__name__}: {error}") from error
    if dtype.kind not in _KINDS or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype} {shape}")
    rest = len(content) - file.tell()
    if math.prod(shape) * dtype.itemsize != rest:
        raise ValueError(f"{dtype} {shape} in {rest} bytes")
    flat: NDArray[Any] = np.frombuffer(content, dtype, offset=file.tell())
    return flat.reshape(shape[::-1]).T if by_column else flat.reshape(shape)


def arrays_in(content: bytes, most: int | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file by name.

    Args:
        content: the file's bytes.
        most: bytes that they may take when they are unpacked; None allows what the file itself
            takes, so that nothing in it can have been compressed to speak of.

    Raises:
        ValueError: it is none, would take more than that, or is damaged.
    """
    import zipfile  # only where it is needed: it brings every way of packing along

    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            needed, allowed = sum(m.file_size for m in members), len(content)
            if needed > (allowed if most is None else most):
                raise ValueError(f"{needed} bytes, packed into {len(content)}")
            return {m.filename.removesuffix(".npy"): array_in(archive.read(m)) for m in members}
    except ValueError:
        raise
    except Exception as error:  # whatever a damaged archive makes of its unpackers
        raise ValueError(f"no .npz file: {type(error).__name__}: {error}") from error
