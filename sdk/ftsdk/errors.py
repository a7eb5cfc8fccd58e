"""Every error that ftsdk raises on purpose; those of the export are in `ft_export.errors`.

FtsdkError
├── InputError                  what was handed in is at fault
│   ├── ImageNotFoundError        no readable file at that path
│   ├── ImageFormatError          the bytes are no picture of a supported format
│   ├── ImageTruncatedError       the picture ends before its header said
│   ├── ImageDamagedError         the picture's bytes contradict themselves
│   ├── ImageSizeError            too many pixels or bytes, or too few, by the header
│   │   └── ImageTooSmallError      a side is too short
│   ├── ImageLimitError           decoding it takes more work, time or memory than is allowed
│   ├── ArrayError                an array of another dtype, shape or range
│   ├── RegionError               a region name that the model does not know
│   ├── OptionError               a setting outside its range
│   └── OverwriteError            an output would replace what was handed in
├── BundleError                 the bundle is at fault
│   ├── BundleNotFoundError       no bundle at that path
│   ├── ManifestError             manifest.json does not parse strictly
│   ├── ManifestVersionError      manifest.json was written by another ftsdk
│   ├── BundlePathError           a path that leaves the bundle directory
│   ├── BundleFileMissingError    a file of the manifest is not there
│   ├── BundleFileAlteredError    a file's size or SHA-256 differs
│   ├── BundleContentError        a file is the one exported, and is not what the manifest says
│   └── BundleUntrustedError      it is not the one that was pinned, or nobody trusted signed it
├── InstallationError           what is installed is at fault
│   ├── PackageConflictError      two packages, or two versions of one, are in each other's way
│   └── PackageBrokenError        a package lacks files, or does not load
├── EngineError                 the inference runtime is at fault
│   ├── EngineNotInstalledError   no runtime for this bundle is installed
│   ├── DeviceUnavailableError    the asked-for device cannot be used
│   ├── EngineLoadError           the runtime refused a graph
│   ├── EngineCacheError          a built engine or its directory is damaged or not private
│   ├── EngineMissingError        no engine was built for this bundle
│   ├── EngineMismatchError       an engine was built for another GPU, runtime or graph
│   ├── EngineRunError            the runtime failed while it ran a graph, or was closed
│   ├── EngineAnswerError         it ran, and answered something else than it should
│   └── NumericalError            a stage produced NaN or infinity
├── SourceError                 a source of frames is at fault
│   ├── SourceNotFoundError       no video, folder, camera or address of that name
│   ├── SourceEmptyError          it gave no frame that could be analysed
│   └── SourceLostError           it died, and did not come back as often as it was retried
├── OutputError                 what was asked for cannot be written
│   ├── OutputFormatError         the file is there, and is no output of this command
│   └── OutputLockedError         another run is writing it
├── AnalysisCancelledError      the caller cancelled, or a time-out passed
├── AnalysisFailedError         a step raised what is no error of ftsdk's own
├── FleetError                  a cluster of machines is at fault
│   ├── ClusterUnreachableError   none answers at that address
│   ├── NodeMismatchError         a node has another ftsdk, Ray or Python
│   ├── NodeUnfitError            a node lacks memory, a GPU or the pictures
│   └── WorkerLostError           each worker that analysed a file died
├── DataError                   a data set is at fault
│   ├── DataNotFoundError         no data set at that path
│   ├── RangesError               INT8 ranges are missing, or were observed on something else
│   └── RecordError               a record lacks a field or contradicts itself
└── ServiceError                ft-serve refuses a request
    ├── AnalysisNotFoundError     no analysis of that id is kept
    ├── ConnectionsError          too many connections, or one that sends nothing in time
    ├── ModelNotFoundError        no model of that name or version is loaded
    ├── NotReadyError             the service is starting or stopping
    ├── QueueFullError            as many pictures wait already as may
    ├── RequestError              the request is not what the API takes
    ├── ServiceFaultError         the service itself failed; its log says where
    ├── StoreError                the store cannot be read, written or emptied
    ├── StoreFullError            the store has as many bytes as it may, or its disk has no room
    ├── ThrottledError            too many wrong tokens from one address
    └── TokenError                no token, or a wrong one
"""

from __future__ import annotations

from ftsdk.text import visible


class FtsdkError(Exception):
    """A failure with its cure. Its texts may quote what came from outside, and are made visible.

    Attributes:
        what: one sentence naming the failure.
        expected: what would have been right.
        found: what was there instead.
        cure: what the user can do now; a command where there is one.

    Examples:
        >>> try:
        ...     ftsdk.analyze("nowhere.jpg")
        ... except ftsdk.FtsdkError as error:
        ...     print(error.what, error.cure)
    """

    def __init__(self, what: str, *, expected: str, found: str, cure: str) -> None:
        self.what, self.expected, self.found, self.cure = (
            visible(text, keep="\n\t") for text in (what, expected, found, cure)
        )
        super().__init__(self.what, self.expected, self.found, self.cure)

    def about(self, name: str) -> FtsdkError:
        """Return the same error with what it is about.

        Args:
            name: such as one file of many.
        """
        return _rebuild(type(self), f"{name}: {self.what}", self.expected, self.found, self.cure)

    def to_dict(self) -> dict[str, str]:
        """Return class and texts as JSON values."""
        texts = {"what": self.what, "expected": self.expected, "found": self.found}
        return {"class": type(self).__name__, **texts, "cure": self.cure}

    def __str__(self) -> str:
        reasons = f"  expected: {self.expected}\n  found:    {self.found}\n  cure:     {self.cure}"
        return f"{self.what}\n{reasons}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.expected, self.found, self.cure)


def _rebuild(kind: type[FtsdkError], what: str, expected: str, found: str, cure: str) -> FtsdkError:
    return kind(what, expected=expected, found=found, cure=cure)


class InputError(FtsdkError, ValueError):
    """What was handed in is at fault."""


class ImageNotFoundError(InputError):
    """No readable file is at that path."""


class ImageFormatError(InputError):
    """The bytes are no picture of a supported format."""


class ImageTruncatedError(InputError):
    """The picture ends before its header said."""


class ImageDamagedError(InputError):
    """The picture's bytes contradict themselves, or its decoder refused them."""


class ImageSizeError(InputError):
    """The header announces too many pixels, or too few."""


class ImageTooSmallError(ImageSizeError):
    """A side is too short."""


class ImageLimitError(InputError):
    """To decode the picture takes more work, time or memory than is allowed."""


class ArrayError(InputError):
    """An array has another dtype, shape or range than a picture."""


class RegionError(InputError):
    """A region name that the model does not know."""


class OptionError(InputError):
    """A setting is outside its range."""


class OverwriteError(InputError):
    """An output would take the place of a file that was handed in."""


class BundleError(FtsdkError):
    """The bundle is at fault."""


class BundleNotFoundError(BundleError):
    """No bundle is at that path."""


class ManifestError(BundleError):
    """manifest.json does not parse strictly."""


class ManifestVersionError(BundleError):
    """manifest.json was written for another manifest version."""


class BundlePathError(BundleError):
    """A path in the manifest leaves the bundle directory."""


class BundleFileMissingError(BundleError):
    """A file that the manifest lists is not there."""


class BundleFileAlteredError(BundleError):
    """A file's size or SHA-256 differs from the manifest's."""


class BundleContentError(BundleError):
    """A file with the right hash does not hold what the manifest says."""


class BundleUntrustedError(BundleError):
    """The bundle is not the one that was pinned, or is not signed by whom the caller trusts."""


class InstallationError(FtsdkError):
    """What is installed is at fault."""


class PackageConflictError(InstallationError):
    """Two packages, or two versions of one, are in each other's way."""


class PackageBrokenError(InstallationError):
    """An installed package lacks files, or does not load."""


class EngineError(FtsdkError):
    """The inference runtime is at fault."""


class EngineNotInstalledError(EngineError):
    """No runtime that can run this bundle is installed."""


class DeviceUnavailableError(EngineError):
    """The asked-for device cannot be used."""


class EngineLoadError(EngineError):
    """The runtime refused a graph."""


class EngineCacheError(EngineError):
    """A built engine or its directory is damaged, or others could write it."""


class EngineMissingError(EngineError):
    """No engine was built for this bundle."""


class EngineMismatchError(EngineError):
    """The engine was built for another GPU, runtime version, graph, precision or shapes."""


class EngineRunError(EngineError):
    """The runtime failed while it ran a graph, or it was closed."""


class EngineAnswerError(EngineError):
    """A runtime ran, and answered something else than it should."""


class NumericalError(EngineError):
    """A stage produced NaN or infinity."""


class SourceError(FtsdkError):
    """A source of frames is at fault."""


class SourceNotFoundError(SourceError):
    """There is no video, folder, camera or address of that name."""


class SourceEmptyError(SourceError):
    """A source gave no frame that could be analysed."""


class SourceLostError(SourceError):
    """A source died, and did not come back as often as it was retried."""


class OutputError(FtsdkError):
    """What was asked for cannot be written: no room, no permission, no such directory."""


class OutputFormatError(OutputError):
    """A file that was to be continued holds something else than this command writes."""


class OutputLockedError(OutputError):
    """Another run is writing the same file."""


class AnalysisCancelledError(FtsdkError):
    """The caller cancelled the analysis, or its time-out passed."""


class AnalysisFailedError(FtsdkError):
    """A step of an analysis raised what is no error of ftsdk's own; that is its cause."""


class FleetError(FtsdkError):
    """A cluster of machines is at fault."""


class ClusterUnreachableError(FleetError):
    """No cluster answers at that address."""


class NodeMismatchError(FleetError):
    """A node has another ftsdk, Ray or Python."""


class NodeUnfitError(FleetError):
    """A node lacks memory, a GPU or the pictures, or no worker starts there."""


class WorkerLostError(FleetError):
    """Each worker that analysed a file died."""


class DataError(FtsdkError):
    """A data set is at fault."""


class DataNotFoundError(DataError):
    """No data set is at that path."""


class RangesError(DataError):
    """INT8 ranges are missing, or were observed on something else."""


class RecordError(DataError):
    """A record lacks a field, or contradicts itself or the model."""


class ServiceError(FtsdkError):
    """ft-serve refuses a request."""


class AnalysisNotFoundError(ServiceError):
    """No analysis of that id is kept."""


class ConnectionsError(ServiceError):
    """There are too many connections, or one sent no request in time."""


class ModelNotFoundError(ServiceError):
    """No model of that name or version is loaded."""


class NotReadyError(ServiceError):
    """The service is starting or stopping."""


class QueueFullError(ServiceError):
    """As many pictures wait already as may."""


class RequestError(ServiceError):
    """The request is not what the API takes."""


class ServiceFaultError(ServiceError):
    """The service itself failed; its log says where."""


class StoreError(ServiceError):
    """The store cannot be opened, read, written or emptied."""


class StoreFullError(ServiceError):
    """The store holds as many bytes as it may, or its disk has no room; nothing was kept."""


class ThrottledError(ServiceError):
    """Too many wrong tokens came from one address."""


class TokenError(ServiceError):
    """The request has no token, or a wrong one."""
