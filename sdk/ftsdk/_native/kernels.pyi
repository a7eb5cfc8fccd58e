import numpy as np
from numpy.typing import NDArray

def resize_normalise(
    picture: NDArray[np.uint8],
    *,
    size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    reversed: bool,
    portable: bool = False,
) -> NDArray[np.float32]: ...
def upsample(map: NDArray[np.float32], output: NDArray[np.float32]) -> None: ...
def upsample_cut(map: NDArray[np.float32], threshold: float, output: NDArray[np.bool_]) -> None: ...
def avx2_available() -> bool: ...
