"""ftsdk's model for Triton's Python back end, as `ft-export --triton` writes it.

It runs in Triton's own Python, whose packages requirements.txt beside this version's folder names,
and fails to load where they are others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy
import triton_python_backend_utils as backend

_CURE = "run the commands of requirements.txt in the Python that Triton runs"


class TritonPythonModel:
    """What the back end looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the bundle, or say in one sentence why not."""
        try:
            _check_numpy()
            _check_ftsdk(json.loads(args["model_config"])["parameters"]["ftsdk"]["string_value"])
            from ftsdk.serve.inference.triton import TritonModel

            self._model = TritonModel(backend, args)
        except ImportError as error:
            found = f"expected: what requirements.txt names; found: {error}; {_CURE}"
            raise _refused("a package that the model needs is missing", found) from error
        except backend.TritonModelException:
            raise
        except Exception as error:
            raise _refused("the model cannot be loaded", str(error)) from error

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return a response to each request."""
        return self._model.execute(requests)

    def finalize(self) -> None:
        """Free the bundle."""
        self._model.close()


def _check_numpy() -> None:
    """Raise where Triton was compiled for another NumPy: it would mistake how long elements are."""
    sent = numpy.arange(6, dtype=numpy.uint8).reshape(2, 3)
    tensor = backend.Tensor.from_dlpack("sent", backend.Tensor("sent", sent))
    if not numpy.array_equal(tensor.as_numpy(), sent):
        found = f"expected: NumPy below 2; found: {numpy.__version__}; {_CURE}"
        raise _refused("this Triton cannot read this NumPy's arrays", found)


def _check_ftsdk(expected: str) -> None:
    from ftsdk.version import __version__

    if __version__ != expected:
        found = f"expected: ftsdk {expected}; found: {__version__}; {_CURE}"
        raise _refused("the model was exported by another ftsdk", f"{found}, or export it again")


def _refused(what: str, found: str) -> Exception:
    refusal: Exception = backend.TritonModelException(f"{what}; {found}")
    return refusal
