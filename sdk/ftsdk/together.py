"""Several faces through a stage in one batch: what is made of one does not depend on the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from ftsdk.engines.contract import Tensors
from ftsdk.engines.profile import FACES_AT_ONCE
from ftsdk.stopwatch import Stopwatch

#: Runs a stage: tensors [N, ...], the watch, and what stands for the tensors' content.
Run = Callable[[Tensors, Stopwatch, Hashable], Tensors]


def run_together(
    run: Run,
    inputs: Sequence[str],
    faces: Sequence[Tensors],
    watch: Stopwatch,
    keys: Sequence[Hashable],
) -> list[Tensors]:
    """Return `faces`, each with what `run` makes of its `inputs` added.

    Those whose inputs have the same shapes share a batch, a few at a time, which bounds memory.

    Args:
        run: what is run.
        inputs: the names of what goes into it.
        faces: the tensors of each, [1, ...].
        watch: times it.
        keys: what stands for the content of each face's tensors.
    """
    made = list(faces)
    for group in _groups(inputs, faces):
        some = [faces[index] for index in group]
        if len(some) == 1:
            (index,) = group
            made[index] = {**faces[index], **run(some[0], watch, keys[index])}
            continue
        batch = {name: np.concatenate([np.asarray(one[name]) for one in some]) for name in inputs}
        outputs = run(batch, watch, tuple(keys[index] for index in group))
        arrays = {name: np.asarray(value) for name, value in outputs.items()}
        for row, index in enumerate(group):
            own = {name: value[row : row + 1] for name, value in arrays.items()}
            made[index] = {**faces[index], **own}
    return made


def _groups(inputs: Sequence[str], faces: Sequence[Tensors]) -> Iterator[list[int]]:
    """Yield the places of faces that can share a batch."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        alike[tuple(face[name].shape for name in inputs)].append(index)
    for places in alike.values():
        for start in range(0, len(places), FACES_AT_ONCE):
            yield places[start : start + FACES_AT_ONCE]
