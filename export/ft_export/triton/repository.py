"""`ft-export --triton`: a bundle as a model repository of Triton's Python back end.

Source: https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ft_export.errors import DiskFullError
from ftsdk.bundle import Bundle
from ftsdk.errors import OptionError, OutputError
from ftsdk.files import cannot_save, sync
from ftsdk.serve.inference.documents import INPUTS, OUTPUTS, VERSION, Tensor
from ftsdk.serve.inference.triton import BUNDLE, BUNDLE_SHA256, MAX_PIXELS, TIMEOUT
from ftsdk.serve.settings import Settings
from ftsdk.version import __version__

#: Pictures that one instance analyses at once, over one copy of the weights.
BATCH = 4
#: Requests that may wait, in all.
QUEUE = 128
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_HERE = Path(__file__).parent
_TYPES = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "BOOL": "TYPE_BOOL", "FP32": "TYPE_FP32"}


def write_model(bundle: Bundle, repository: Path) -> Path:
    """Write a bundle as the model of its name, and return the model's directory.

    ```
    REPOSITORY/NAME/config.pbtxt
                    requirements.txt     what Triton's Python needs
                    1/model.py
                      bundle/            a copy, whose hash config.pbtxt holds
    ```

    Raises:
        OptionError: the repository has something of that name, or the name makes no directory.
        DiskFullError, OutputError: it cannot be written; nothing is left.
    """
    name = bundle.manifest.name
    if not _NAME.fullmatch(name):
        raise OptionError(
            "the bundle's name cannot be a Triton model's",
            expected="letters, digits, '_', '-' and '.', the first a letter, a digit or '_'",
            found=name[:100],
            cure="export it again with another --out, whose last part is the name",
        )
    target = repository / name
    if target.exists():
        raise OptionError(
            f"{target} exists",
            expected="a repository without a model of this name",
            found="a model" if (target / "config.pbtxt").is_file() else "something else",
            cure="remove it, or name another repository",
        )
    with _placed(target) as partial:
        version = partial / VERSION
        version.mkdir()
        shutil.copytree(bundle.path, version / BUNDLE)
        shutil.copyfile(_HERE / "model.py", version / "model.py")
        (partial / "requirements.txt").write_text(requirements(), encoding="utf-8")
        (partial / "config.pbtxt").write_text(config(name, bundle.sha256), encoding="utf-8")
    return target


def requirements() -> str:
    """Return requirements.txt: what Triton's Python needs, by hash.

    OpenCV's metadata asks for NumPy 2, whose arrays Triton's stub cannot read before 24.11; OpenCV
    and ftsdk run with NumPy 1.26 as well, so that nothing but `--no-deps` installs them together.
    """
    return f"""\
# What Triton's Python (3.11 or 3.12) needs for this model. In that Python:
#   pip install --no-deps ftsdk=={__version__}
#   pip install --no-deps -r requirements.txt
# On a GPU, onnxruntime-gpu of the same version in place of onnxruntime.
{(_HERE / "requirements.txt").read_text(encoding="utf-8")}"""


def config(name: str, sha256: str) -> str:
    """Return config.pbtxt of a bundle: the tensors of `/v2`, batches, a bounded queue.

    Args:
        name: the model's.
        sha256: of the bundle's manifest.
    """
    settings = Settings()
    seconds = f"{settings.timeout:g}"
    parameters = {
        "ftsdk": __version__,
        BUNDLE_SHA256: sha256,
        TIMEOUT: seconds,
        MAX_PIXELS: str(settings.max_pixels),
    }
    return f"""\
# Written by ft-export {__version__}. The first side of every shape counts pictures.
name: {json.dumps(name)}
backend: "python"

# Pictures that an instance analyses at once, over one copy of the weights.
max_batch_size: {BATCH}
input [
{_listed([_input(tensor) for tensor in INPUTS])}
]
output [
{_listed([_tensor(tensor) for tensor in OUTPUTS])}
]

# One instance on each GPU; on a machine without, one on the CPU. KIND_CPU keeps a GPU free.
instance_group [ {{ kind: KIND_AUTO count: 1 }} ]

# What waits already is taken together; what waits too long, or is one too many, is refused.
dynamic_batching {{
  default_queue_policy {{
    max_queue_size: {QUEUE}
    timeout_action: REJECT
    default_timeout_microseconds: {int(settings.timeout * 1e6)}
  }}
}}

# Which ftsdk and which bundle it has to be; seconds for a picture; pixels by its header.
parameters [
{_listed([_parameter(key, value) for key, value in parameters.items()])}
]
"""


def _tensor(tensor: Tensor) -> str:
    dims = ", ".join(map(str, tensor.dims))
    return f'name: "{tensor.name}" data_type: {_TYPES[tensor.datatype]} dims: [ {dims} ]'


def _input(tensor: Tensor) -> str:
    """Return an input; requests whose free sides differ may share a batch."""
    ragged = " allow_ragged_batch: true" if -1 in tensor.dims else ""
    return f"{_tensor(tensor)} optional: true{ragged}"


def _parameter(key: str, value: str) -> str:
    return f'key: "{key}" value: {{ string_value: "{value}" }}'


def _listed(entries: list[str]) -> str:
    return ",\n".join(f"  {{ {entry} }}" for entry in entries)


@contextmanager
def _placed(target: Path) -> Iterator[Path]:
    """Yield a directory beside `target` that is synced and takes its place, or goes."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of an export that was killed
        partial.mkdir(parents=True)
        yield partial
        for path in (*partial.rglob("*"), partial):
            sync(path)
        partial.rename(target)
        sync(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _cannot_write(target: Path, error: OSError) -> OutputError | DiskFullError:
    if error.errno != errno.ENOSPC:
        return cannot_save(target, error)
    return DiskFullError(
        "the disk is full; no model was written and the temporary files were removed",
        expected=f"room for a copy of the bundle at {target.parent}",
        found=os.strerror(errno.ENOSPC),
        cure="free some space, or name a repository on another disk",
    )
