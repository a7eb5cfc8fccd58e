"""How many workers a node takes, and what each of them asks Ray for."""

from __future__ import annotations

from dataclasses import dataclass

#: What is asked for of a node's CPUs; the rest stays free for those who read, whoever they are.
_ASKED = 0.9
#: What may be filled of a node's memory.
_FILLED = 0.9
#: Beyond this, workers on one GPU wait for one another.
_MOST_A_GPU = 4


@dataclass(frozen=True)
class Room:
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
class Need:
    """What a worker of one thread was measured to need.

    Attributes:
        cores: CPU time over time while it analysed a picture.
        memory: bytes that it and its decoder hold.
        gpu_share: of one GPU's memory; 0 on the CPU.
    """

    cores: float
    memory: int
    gpu_share: float = 0.0


@dataclass(frozen=True)
class Share:
    """What one worker asks for.

    Attributes:
        cpus: of Ray, a fraction.
        gpus: of Ray, a fraction.
        threads: inside one operator.
    """

    cpus: float
    gpus: float
    threads: int


def first_share(room: Room, gpu: bool) -> Share:
    """Return what the first worker of a node asks for, which measures what the others need.

    Args:
        room: what the node has.
        gpu: whether to use one, where there is one.
    """
    gpus = float(gpu and room.gpus >= 1)
    return Share(round(_ASKED * min(1.0, room.cpus), 4), gpus, threads=1)


def shares_of(room: Room, need: Need) -> tuple[int, Share]:
    """Return how many workers a node takes, and what each asks for.

    On CPUs as many as keep every core busy, or as fit into memory, with the cores left shared among
    them as threads. On GPUs as many as fit into each one's memory, up to four.

    Examples:
        >>> shares_of(Room(cpus=2, memory=16 << 30), Need(cores=1.1, memory=1 << 30))
        (2, Share(cpus=0.9, gpus=0.0, threads=1))
        >>> shares_of(Room(cpus=16, memory=16 << 30), Need(cores=1.0, memory=6 << 30))
        (2, Share(cpus=7.2, gpus=0.0, threads=8))
    """
    fitting = int(_FILLED * room.memory / need.memory)
    if need.gpu_share:
        a_gpu = max(1, min(_MOST_A_GPU, int(1 / need.gpu_share)))
        count, gpus = min(fitting, int(room.gpus) * a_gpu), 1 / a_gpu
    else:
        count, gpus = min(fitting, max(1, round(room.cpus / max(1.0, need.cores)))), 0.0
    workers = max(1, count)
    threads = 1 if need.gpu_share else max(1, int(room.cpus / workers))
    return count, Share(round(_ASKED * room.cpus / workers, 4), gpus, threads)
