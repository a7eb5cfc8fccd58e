"""A stage's torch module to an ONNX file with dynamic axes."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.rewriter import pattern
from torch import Tensor

from ft_export.graph.files import SCOPES, save_graph
from ft_export.graph.padding import pad_channels
from ft_export.model.layers import Stage

#: The first with 4-bit integers and scales by block.
OPSET = 21

#: The exporter knows no softsign and writes three operators, each a pass over memory.
_SOFTSIGN = pattern.RewriteRule(
    lambda op, x: op.Div(x, op.Add(op.Abs(x), 1.0)), lambda op, x: op.Softsign(x)
)

DynamicAxes = Mapping[str, Mapping[int, str]]


def dynamic_axes(names: Sequence[str]) -> DynamicAxes:
    """Return which axes of each stage input vary, and what they count."""
    several = {0: "faces"} if "source_mask" in names else {}
    return {name: _axes(name) | (several if ".encoder." in name else {}) for name in names}


def _axes(name: str) -> dict[int, str]:
    if ".decoder." in name:
        return {0: "slots"}
    if ".encoder." in name:
        return {3: "source"} if name.endswith("key") else {2: "source"}
    return _SPECIAL_AXES.get(name, {0: "batch"})


_SPECIAL_AXES = {
    "qformer_ids": {0: "batch", 1: "text"},
    "prompt_embeds": {0: "batch", 1: "text"},
    "inputs_embeds": {0: "beams"},
    "slot_mapping": {0: "beams"},
    "cache_indirection": {0: "beams", 1: "length"},
    "source_mask": {0: "faces", 1: "source"},
}


def export_graph(
    module: Stage,
    example: Mapping[str, Tensor],
    axes: DynamicAxes,
    path: Path,
    rewrite: Callable[[ir.Model], None] = lambda _: None,
) -> None:
    """Write `module` as ONNX (opset 21), weights beside it in `{name}.data` when over 256 MiB.

    Args:
        module: a stage; `inputs` and `outputs` name its tensors in order.
        example: one tensor an input, no axis of length 1 that is meant to vary.
        axes: input name to the axes that vary and what they count.
        path: the file to write.
        rewrite: changes the graph before it is written, as to another precision.
    """
    arguments = tuple(example[name] for name in module.inputs)
    shapes = tuple(dict.fromkeys(axes[name], torch.export.Dim.DYNAMIC) for name in module.inputs)
    with _quiet(), torch.no_grad():
        exported = torch.export.export(
            module, arguments, dynamic_shapes=_as_signature(module, shapes)
        )
        program = torch.onnx.export(
            exported,
            input_names=list(module.inputs),
            output_names=list(module.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,
        )
        assert program is not None
        weights = list(program.model.graph.initializers.values())
        program.optimize()
    if pattern.RewriteRuleSet([_SOFTSIGN]).apply_to_model(program.model):
        RemoveUnusedNodesPass()(program.model)
    _name_axes(program.model.graph, axes)
    _forget_sources(program.model.graph)
    pad_channels(program.model.graph)
    rewrite(program.model)
    save_graph(program.model, path)
    # The optimizer's pattern matchers keep the last graph that they saw, and it its weights.
    for value in (*weights, *program.model.graph.initializers.values()):
        value.const_value = None


def _name_axes(graph: ir.Graph, axes: DynamicAxes) -> None:
    """Replace the exporter's symbols (s17) by what the axes count."""
    names = {
        str(value.shape[axis]): label
        for value in graph.inputs
        if value.shape is not None and value.name is not None
        for axis, label in axes[value.name].items()
    }
    values = [*graph.inputs, *graph.outputs, *(out for node in graph for out in node.outputs)]
    for value in values:
        if value.shape is not None:
            value.shape = ir.Shape([_renamed(dim, names) for dim in value.shape])


def _forget_sources(graph: ir.Graph) -> None:
    """Keep which module a node came from, and not in which file of this machine."""
    for node in graph.all_nodes():
        for key in [key for key in node.metadata_props if key != SCOPES]:
            del node.metadata_props[key]


def _renamed(dim: int | ir.SymbolicDim, names: Mapping[str, str]) -> int | ir.SymbolicDim:
    if isinstance(dim, int) or dim.value is None:
        return dim
    return ir.SymbolicDim(re.sub(r"\w+", lambda word: names.get(word[0], word[0]), dim.value))


def _as_signature(module: Stage, shapes: tuple[object, ...]) -> tuple[object, ...]:
    code = module.forward.__code__
    named = code.co_argcount - 1
    takes_rest = bool(code.co_flags & 0x04)
    return (*shapes[:named], shapes[named:]) if takes_rest else shapes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress chatter and its deprecation notices off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
