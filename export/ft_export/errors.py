"""Every error that the export raises on purpose: the branch of `ftsdk.errors` that no device needs.

ExportError                 ft-export could not make a bundle
├── ArchitectureError         the architecture description is incomplete or wrong
├── WeightsNotFoundError      a file of the published layout is missing
├── WeightsFileError          a weight file cannot be read
├── UnsafePickleError         a weight file holds more than tensors; nothing was run
├── TensorMissingError        a tensor the architecture needs is in no file
├── TensorShapeError          a tensor has another shape than the architecture says
├── TensorValueError          a tensor holds NaN or infinity
├── EngineBuildError          TensorRT refused a graph, or the build would not fit
├── DiskFullError             no room for the bundle; nothing was left
└── GateError                 an exported stage differs from float32
"""

from __future__ import annotations

from ftsdk.errors import FtsdkError


class ExportError(FtsdkError):
    """ft-export could not make a bundle."""


class ArchitectureError(ExportError):
    """The architecture description is incomplete or wrong."""


class WeightsNotFoundError(ExportError):
    """A file of the published layout is missing."""


class WeightsFileError(ExportError):
    """A weight file cannot be read."""


class UnsafePickleError(ExportError):
    """A weight file holds more than tensors; nothing of it was run."""


class TensorMissingError(ExportError):
    """A tensor that the architecture needs is in no file."""


class TensorShapeError(ExportError):
    """A tensor has another shape than the architecture says."""


class TensorValueError(ExportError):
    """A tensor holds NaN or infinity."""


class EngineBuildError(ExportError):
    """TensorRT refused to build an engine, or the build would not fit into memory."""


class DiskFullError(ExportError):
    """There was no room for the bundle; what was written of it has been removed."""


class GateError(ExportError):
    """An exported stage differs from its float32 reference."""
