"""How many workers a node takes, and what each of them asks Ray for."""

from __future__ import annotations

from dataclasses import dataclass

#: What is asked for of a node's CPUs; the rest stays free for those who read, whoever they are.
_ASKED = 0.9
#: What may be filled of a node's memory.
_FILLED = 0.9
#: Beyond this, workers on one GPU wait for one another.
_MAX_PER_GPU = 4


@dataclass(frozen=True)
class Capacity:
    """What Ray says that a node has.

    Attributes:
        cpus: cores.
        memory: bytes.
        gpus: how many.
    """

    cpus: float
    memory: int
    gpus: float = 0.0


@dataclass(frozen=True)
class Usage:
    """What a worker of one thread was measured to use.

    Attributes:
        cores: CPU time over time while it analysed a picture.
        memory: bytes that it and its decoder hold.
        gpu_fraction: of one GPU's memory; 0 on the CPU.
    """

    cores: float
    memory: int
    gpu_fraction: float = 0.0


@dataclass(frozen=True)
class Allocation:
    """What one worker asks for.

    Attributes:
        cpus: of Ray, a fraction.
        gpus: of Ray, a fraction.
        threads: inside one operator.
    """

    cpus: float
    gpus: float
    threads: int


def first_allocation(capacity: Capacity, gpu: bool) -> Allocation:
    """Return what the first worker of a node asks for, which measures what the others use.

    Args:
        capacity: what the node has.
        gpu: whether to use one, where there is one.
    """
    gpus = float(gpu and capacity.gpus >= 1)
    return Allocation(round(_ASKED * min(1.0, capacity.cpus), 4), gpus, threads=1)


def allocate(capacity: Capacity, usage: Usage) -> tuple[int, Allocation]:
    """Return how many workers a node takes, and what each asks for.

    On CPUs as many as keep every core busy, or as fit into memory, with the cores left shared among
    them as threads. On GPUs as many as fit into each one's memory, up to four.

    Examples:
        >>> allocate(Capacity(cpus=2, memory=16 << 30), Usage(cores=1.1, memory=1 << 30))
        (2, Allocation(cpus=0.9, gpus=0.0, threads=1))
        >>> allocate(Capacity(cpus=16, memory=16 << 30), Usage(cores=1.0, memory=6 << 30))
        (2, Allocation(cpus=7.2, gpus=0.0, threads=8))
    """
    fitting = int(_FILLED * capacity.memory / usage.memory)
    if usage.gpu_fraction:
        per_gpu = max(1, int(min(_MAX_PER_GPU, 1 / usage.gpu_fraction)))
        count, gpus = min(fitting, int(capacity.gpus) * per_gpu), 1 / per_gpu
    else:
        count = min(fitting, max(1, round(capacity.cpus / max(1.0, usage.cores))))
        gpus = 0.0
    workers = max(1, count)
    threads = 1 if usage.gpu_fraction else max(1, int(capacity.cpus / workers))
    return count, Allocation(round(_ASKED * capacity.cpus / workers, 4), gpus, threads)
