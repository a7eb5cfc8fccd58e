"""Named tensors of weight files, read one at a time and never by running what is in them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ft_export.errors import (
    TensorMissingError,
    TensorShapeError,
    TensorValueError,
    UnsafePickleError,
)
from ft_export.weights.reading import require_regular, unreadable

#: How the two forms of a torch checkpoint begin.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


class TensorFile:
    """A weight file, mapped into memory while tensors of it are being read.

    Pages that were read stay resident until `release`, which a later read undoes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tensors: Mapping[str, Callable[[], Tensor]] | None = None

    def tensors(self) -> Mapping[str, Callable[[], Tensor]]:
        """Return a function for each tensor that reads it, by name.

        Raises:
            UnsafePickleError: the pickle asks for more than tensors; nothing of it was run.
            WeightsFileError: the file is damaged or of another kind.
        """
        if self._tensors is None:
            require_regular(self._path)
            safe = self._path.suffix == ".safetensors"
            self._tensors = _open_safetensors(self._path) if safe else _open_pickle(self._path)
        return self._tensors

    def release(self) -> None:
        """Let go of the mapping; tensors that are still in use keep their part of it."""
        self._tensors = None


@dataclass(frozen=True)
class LazyTensor:
    """A tensor by its name in its file."""

    file: TensorFile
    name: str

    def read(self) -> Tensor:
        """Return the tensor in the shape and type that it has in its file."""
        return self.file.tensors()[self.name]()


LazyTensors = dict[str, LazyTensor]


def read_tensors(path: Path) -> LazyTensors:
    """Return the tensors of a `.pth`, `.bin` or `.safetensors` file by name, not yet in memory.

    A state dict below the key `model` is found there.

    Raises:
        UnsafePickleError: the pickle asks for more than tensors; nothing of it was run.
        WeightsFileError: the file is damaged or of another kind.
    """
    file = TensorFile(path)
    return {name: LazyTensor(file, name) for name in file.tensors()}


def _open_pickle(path: Path) -> Mapping[str, Callable[[], Tensor]]:
    state = _load_pickle(path)
    inner = state.get("model")
    state = inner if isinstance(inner, Mapping) else state
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        if problem := _unbacked(value):
            raise unreadable(path, "tensors whose every number is in it", f"{name!r} {problem}")
    return {name: value.detach for name, value in tensors.items()}


def _unbacked(tensor: Tensor) -> str:
    """Return why a tensor is more than its file holds, which a few bytes can say; or nothing."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return f"is stored as {tensor.layout}, not number by number"
    if tensor.device.type != "cpu":
        return f"is on the device {tensor.device.type}, without numbers"
    stored, needed = tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size()
    return f"needs {needed} bytes of {stored} that are stored" if stored < needed else ""


def _open_safetensors(path: Path) -> Mapping[str, Callable[[], Tensor]]:
    try:
        handle = safe_open(path, framework="pt")
    except Exception as error:
        raise unreadable(path, "a safetensors file", error) from error
    return {name: partial(handle.get_tensor, name) for name in handle.keys()}  # noqa: SIM118


def _load_pickle(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if not head.startswith((_ZIP, _PICKLE)):
            raise ValueError(f"it begins with {head!r}")
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=head == _ZIP)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" not in str(error):
            raise unreadable(path, "a torch checkpoint", error) from error
        raise UnsafePickleError(
            f"{path} holds more than tensors and was refused",
            expected="a pickle of tensors, numbers, strings and plain containers",
            found=str(error).partition("Please file an issue")[0][-400:].strip(),
            cure="download the file again from its publisher; do not load it any other way",
        ) from error
    except Exception as error:
        raise unreadable(path, "a torch checkpoint", error) from error
    if not isinstance(state, Mapping):
        raise unreadable(path, "a state dict", TypeError(f"a {type(state).__name__}"))
    return state


class Checkpoint:
    """All tensors of a model under their published names; remembers which were used."""

    def __init__(self, tensors: LazyTensors) -> None:
        self._tensors = tensors
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> Tensor:
        """Return one tensor in the shape and type that it has in its file.

        Raises:
            TensorMissingError: no file has it.
            TensorValueError: it holds NaN or infinity.
        """
        if name not in self._tensors:
            raise TensorMissingError(
                f"no weight file has the tensor '{name}'",
                expected=f"'{name}' in one of the files",
                found=f"{len(self._tensors)} tensors, not this one",
                cure="check that the download is complete and --architecture is the right one",
            )
        self.used.add(name)
        value = self._tensors[name].read()
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise TensorValueError(
                f"the tensor '{name}' holds NaN or infinity",
                expected="finite numbers",
                found=f"{int((~torch.isfinite(value)).sum())} of {value.numel()} are not",
                cure="download the file again; a training that diverged cannot be exported",
            )
        return value

    def release(self) -> None:
        """Let go of every weight file that is mapped into memory."""
        for file in {lazy.file for lazy in self._tensors.values()}:
            file.release()

    @property
    def dead(self) -> list[str]:
        """Names that no stage has asked for."""
        return sorted(self._tensors.keys() - self.used)


Module = TypeVar("Module", bound=nn.Module)


def load_module(
    module: Module,
    checkpoint: Checkpoint,
    published_name: Callable[[str], str],
    convert: Callable[[Tensor], Tensor] = torch.Tensor.float,
) -> Module:
    """Fill a module that was built on the meta device, in float32, ready for inference.

    Raises:
        TensorShapeError: a tensor has another shape than the architecture says.
    """
    state = {}
    for name, empty in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        source = published_name(name)
        value = checkpoint.tensor(source)
        require_shape(source, value, empty.shape)
        state[name] = convert(value)
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False).eval()


def require_shape(name: str, value: Tensor, expected: Sequence[int]) -> None:
    """Raise TensorShapeError unless `value` has the shape that the architecture says."""
    if list(value.shape) != list(expected):
        raise TensorShapeError(
            f"the tensor '{name}' has another shape than the architecture",
            expected=str(list(expected)),
            found=str(list(value.shape)),
            cure="pass the --architecture that these weights belong to",
        )
