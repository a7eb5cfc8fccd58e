"""A bundle's encoders to float16 or INT8: observed, lowered, held against what they were.

Every stage but the decoder is an encoder here: it looks at many rows at once, where 8 bits save
time; that holds for a language encoder in int4 too, on a CPU. A stage's weights are read and
written one at a time, and one stage is loaded at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ft_calibration.ranges import Range, Ranges, Rule, StageRanges, data_sha256, write_ranges
from ft_export.bundle.writer import hash_files, reserve, write_manifest
from ft_export.chain import chain_of
from ft_export.gates.encoders import (
    Judged,
    measure_masks,
    name_same_regions,
    require_close_masks,
    stage_differences,
)
from ft_export.gates.stage import END_TO_END
from ft_export.graph.files import data_file
from ft_export.graph.observe import TensorDict, link_graph, link_or_copy, peaks
from ft_export.precision.lowering import (
    Form,
    StageGraph,
    Timed,
    feeds,
    lower,
    observe_ranges,
    run,
)
from ft_export.showing import Show
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.consistency import MODEL_STAGES
from ftsdk.engines.cache import graph_sha256
from ftsdk.engines.contract import arrays
from ftsdk.errors import InputError, OptionError
from ftsdk.imaging.decode import decode
from ftsdk.manifest import GateEntry, Precision, StageEntry

ENCODERS = tuple(stage for stage in MODEL_STAGES if stage != "language_decoder")
RANGES_FILE = "calibration/ranges.json"


@dataclass(frozen=True)
class EncoderPrecision:
    """How the encoders are stored.

    Attributes:
        form: what they become.
        rule: how INT8 ranges are cut.
        ranges: ranges of an earlier export; None observes them.
        only_faster: keep a stage as it is unless its new form is faster on this CPU.
        waive_gate: do not fail where the masks differ, as for weights that mean nothing.
    """

    form: Form
    rule: Rule = "minmax"
    ranges: Ranges | None = None
    only_faster: bool = False
    waive_gate: bool = False

    def lowers(self, precision: Precision) -> bool:
        """Say whether a stage of `precision` is lowered: float32, and to INT8 int4 too."""
        return precision == "float32" or (precision == "int4" and self.form == "int8")

    @property
    def precision(self) -> Precision:
        """What the gate and the manifest call it."""
        return "float16" if self.form == "float16" else "int8"


def lower_encoders(
    bundle: Bundle,
    out: Path,
    chosen: EncoderPrecision,
    pictures: Sequence[Path],
    show: Show,
    overwrite: bool = False,
) -> Bundle:
    """Write `bundle` with its float32 encoders lowered at `out`, or nothing if the gate fails.

    Args:
        bundle: a verified bundle; it is not changed.
        out: the directory to make.
        chosen: what they become.
        pictures: what to observe and to judge on. A quarter of them, and the golden picture, are
            kept out of the observing and do the judging.
        show: called with a stage's name and what is being done to it.
        overwrite: a bundle at `out` may be replaced.

    Raises:
        OptionError: the encoders were lowered before, or `out` may not be written.
        RangesError: `chosen.ranges` were observed on another model or other pictures.
        GateError: the masks differ too much from float32's.
    """
    if bundle.manifest.encoder_gate is not None:
        raise OptionError(
            "this bundle's encoders were lowered before",
            expected="a bundle with float32 encoders",
            found=bundle.manifest.precision,
            cure="pass a bundle that was exported with --encoders float32",
        )
    with (
        reserve(out, overwrite) as reserved,
        tempfile.TemporaryDirectory(dir=out.parent) as scratch,
    ):
        reserved.clear()
        folder = reserved.bundle
        for name in bundle.manifest.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(bundle.file(name), folder / name)
        state = _EncoderLowering(bundle, folder, Path(scratch), chosen, list(pictures), show)
        for stage in ENCODERS:
            state.lower(stage)
        state.finish()
    return open_bundle(out)


@dataclass
class _EncoderLowering:
    """Every picture's tensors so far: in float32, and the judges' in the lowered chain too."""

    bundle: Bundle
    folder: Path
    scratch: Path
    chosen: EncoderPrecision
    pictures: list[Path]
    show: Show
    stages: dict[str, StageEntry] = field(default_factory=dict)
    measured: dict[str, tuple[GateEntry, ...]] = field(default_factory=dict)
    observed: dict[str, StageRanges] = field(default_factory=dict)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        manifest = self.bundle.manifest
        self.data_sha256 = data_sha256(self.pictures)
        if self.chosen.ranges is not None:
            self.chosen.ranges.require_pictures(self.data_sha256)
        self.chain = chain_of(self.bundle)
        cut = len(self.pictures) * 3 // 4 or len(self.pictures)
        golden = self.bundle.file(manifest.golden_picture)
        self.seen = [self._pixels(picture) for picture in self.pictures[:cut]]
        self.judges = [self._pixels(picture) for picture in (*self.pictures[cut:], golden)]
        self.lowered = [dict(sample) for sample in self.judges]

    def lower(self, stage: str) -> None:
        """Lower one stage where that is wanted, and run it for the stages that follow."""
        entry = self.bundle.manifest.stages[stage]
        source, target = self.bundle.file(entry.graph), self.folder / entry.graph
        self.show(stage, "reference")
        reference = run(source, feeds(self.judges, entry.inputs))
        if self.chosen.lowers(entry.precision):
            entry = self._lower(stage, entry, reference)
        else:
            self._extend(stage, self.seen, run(source, feeds(self.seen, entry.inputs)).outputs)
        self.stages[stage] = entry
        self.show(stage, "chain")
        chain = run(target, feeds(self.lowered, entry.inputs))
        self._extend(stage, self.judges, reference.outputs)
        self._extend(stage, self.lowered, chain.outputs)

    def finish(self) -> None:
        """Hold the whole chain's masks against float32, and write the manifest."""
        manifest = self.bundle.manifest
        judged = [Judged(a, b) for a, b in zip(self.judges, self.lowered, strict=True)]
        alike = [picture for picture in judged if name_same_regions(picture, manifest)]
        entry = measure_masks(judged, manifest, self.kept, self.chosen.waive_gate)
        require_close_masks(entry, self.chosen.precision)
        if self.observed:
            ranges = Ranges(
                rule=self.chosen.rule,
                pictures=len(self.seen),
                data_sha256=self.data_sha256,
                stages=self.observed,
            )
            write_ranges(self.folder / RANGES_FILE, ranges)
        lowered = replace(
            manifest,
            stages={**manifest.stages, **self.stages},
            gate=tuple(self._gate(alike)),
            encoder_gate=entry,
            files=hash_files(self.folder),
        )
        write_manifest(self.folder, lowered)

    def _gate(self, alike: list[Judged]) -> Iterator[GateEntry]:
        """Yield the bundle's own entries of what is as it was, and the new ones of the rest.

        The whole chain is held against float32 where both name the same regions, since other
        regions make another prompt.
        """
        whole_chain = [one.tensor for one in self.bundle.manifest.gate if one.stage == END_TO_END]
        yield from (
            one
            for one in self.bundle.manifest.gate
            if one.stage not in self.measured and one.stage != END_TO_END
        )
        for entries in self.measured.values():
            yield from entries
        if alike:
            found = feeds([picture.lowered for picture in alike], whole_chain)
            expected = feeds([picture.reference for picture in alike], whole_chain)
            yield from stage_differences(END_TO_END, found, expected)

    def _lower(self, stage: str, entry: StageEntry, reference: Timed) -> StageEntry:
        source = self.bundle.file(entry.graph)
        inputs = feeds(self.seen, entry.inputs)
        self.show(stage, "observing")
        ranges = self._ranges(stage, source, inputs)
        graph = StageGraph(
            stage=stage,
            precision=entry.precision,
            source=source,
            target=self.folder / entry.graph,
            ranges=ranges,
            peaks={} if self.chosen.form == "int8" else peaks(source, self.scratch, inputs),
        )
        self.show(stage, "lowering")
        done = lower(graph, self.chosen.form, feeds(self.judges, entry.inputs), reference)
        before, after = done.milliseconds
        if done.kept:
            self.kept[stage] = done.kept
        if self.chosen.only_faster and after >= before:
            (self.folder / entry.graph).unlink()
            data_file(self.folder / entry.graph).unlink(missing_ok=True)
            link_graph(source, self.folder / entry.graph)
            return entry
        if done.entries:
            self.measured[stage] = done.entries
        rounding = entry.rounding if done.precision == "int4" else None
        return replace(entry, precision=done.precision, rounding=rounding)

    def _ranges(self, stage: str, source: Path, inputs: list[TensorDict]) -> dict[str, Range]:
        """Return the stage's ranges, and extend the observed pictures by its outputs."""
        if self.chosen.ranges is None and self.chosen.form != "float16":
            ranges, outputs = observe_ranges(source, self.scratch, inputs, self.chosen.rule)
        else:
            ranges, outputs = {}, run(source, inputs).outputs
        self._extend(stage, self.seen, outputs)
        sha256 = graph_sha256(self.bundle, stage)
        if self.chosen.ranges is not None:
            ranges = self.chosen.ranges.of_graph(stage, sha256)
        if self.chosen.form != "float16":
            self.observed[stage] = StageRanges(graph_sha256=sha256, tensors=ranges)
        return ranges

    def _pixels(self, picture: Path) -> TensorDict:
        try:
            framed = self.chain.frame(decode(picture))
        except InputError as error:
            raise error.about(str(picture)) from error
        return arrays(self.chain.start(framed.pixels))

    def _extend(self, stage: str, samples: list[TensorDict], outputs: list[TensorDict]) -> None:
        for sample, found in zip(samples, outputs, strict=True):
            # The encoder's keys and values are for the decoder alone, and large.
            kept = {name: value for name, value in found.items() if ".encoder." not in name}
            sample |= arrays(self.chain.advance(stage, {}, kept))
