"""Small autoencoders of faces: their pictures carry the traces of a generator's last layers.

Each enlarges in its own way and has its own bottleneck. A patch critic (Isola et al., "Image-to-
image translation with conditional adversarial networks", CVPR 2017) teaches half of them grain.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ft_forge import FaceSet
from ft_forge.framing import face_box
from ft_forge.picture import Image
from ft_forge.regenerated import FOLDER
from ftsdk.errors import ImageFormatError
from ftsdk.imaging.framing import Box, cut_out, square

CHECKPOINT = "autoencoders.pt"
#: Side of a face's square beside the one that the model sees.
_REACH = 0.8
#: Side in px at which faces are kept for training.
_SIDE = 256
#: How much the critic says beside the plain difference.
_CRITIC_WEIGHT = 0.04


@dataclass(frozen=True)
class Design:
    """How an autoencoder is built.

    `side` of its squares in px, `halvings` down to the bottleneck of `channels`, which way it is
    `enlarged` again, and whether a critic judges it.
    """

    side: int
    halvings: int
    channels: int
    enlarged: str
    critic: bool


DESIGNS = (
    Design(128, 3, 12, "transposed", critic=False),
    Design(256, 4, 32, "nearest", critic=True),
    Design(128, 4, 64, "shuffle", critic=True),
    Design(256, 3, 6, "bilinear", critic=False),
    Design(256, 4, 24, "transposed", critic=True),
)


def _enlarging(kind: str, inputs: int, outputs: int) -> nn.Module:
    """Return what doubles the side: [B, inputs, H, W] -> [B, outputs, 2H, 2W]."""
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    if kind == "shuffle":
        return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2))
    convolution = nn.Conv2d(inputs, outputs, 3, 1, 1)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=kind), convolution)


class Autoencoder(nn.Module):
    """[B, 3, S, S] in 0..1 -> the same, through the bottleneck of its :class:`Design`."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        widths = [min(32 * 2**number, 192) for number in range(design.halvings + 1)]
        down: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, 1, 1), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = [nn.Conv2d(design.channels, widths[-1], 3, 1, 1), nn.LeakyReLU(0.2)]
        for fine, coarse in pairwise(widths):
            down += [nn.Conv2d(fine, coarse, 4, 2, 1), nn.BatchNorm2d(coarse), nn.LeakyReLU(0.2)]
        for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True):
            enlarging = _enlarging(design.enlarged, coarse, fine)
            up += [enlarging, nn.BatchNorm2d(fine), nn.LeakyReLU(0.2)]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], design.channels, 3, 1, 1))
        self.decoder = nn.Sequential(*up, nn.Conv2d(widths[0], 3, 3, 1, 1))

    def forward(self, faces: Tensor) -> Tensor:
        made: Tensor = self.decoder(self.encoder(faces))
        return made


def _critic() -> nn.Sequential:
    """Return what tells made patches from real ones: [B, 3, S, S] -> [B, 1, S/8, S/8]."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 48), (48, 96), (96, 160)):
        layers += [nn.utils.spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(160, 1, 3, 1, 1))


def _difference(made: Tensor, faces: Tensor) -> Tensor:
    """Return the mean absolute difference, and that of neighbours', whose sharpness it is."""
    loss = functional.l1_loss(made, faces)
    for dim in (2, 3):
        loss = loss + functional.l1_loss(made.diff(dim=dim), faces.diff(dim=dim))
    return loss


def fit(design: Design, faces: Tensor, seconds: float) -> Autoencoder:
    """Return an autoencoder trained for `seconds` on `faces` [N, 3, 256, 256] uint8."""
    model, critic = Autoencoder(design).to(faces.device), _critic().to(faces.device)
    learns = torch.optim.Adam(model.parameters(), 1e-3, betas=(0.5, 0.99))
    judges = torch.optim.Adam(critic.parameters(), 4e-4, betas=(0.5, 0.99))
    begun, part = time.monotonic(), 0.0
    while part < 1:
        part = (time.monotonic() - begun) / seconds
        learns.param_groups[0]["lr"] = 1e-3 * max(1 - part, 0.05)
        chosen = faces[torch.randint(len(faces), (32,), device=faces.device)].float() / 255
        real = functional.interpolate(chosen, design.side, mode="area")
        made = model(real)
        loss = _difference(made, real)
        if design.critic and part > 0.3:
            loss = loss - _CRITIC_WEIGHT * critic(made).mean()
        learns.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        learns.step()
        if design.critic and part > 0.25:
            said = functional.relu(1 - critic(real)) + functional.relu(1 + critic(made.detach()))
            judges.zero_grad(set_to_none=True)
            said.mean().backward()
            judges.step()
    print(f"{design}: difference {_difference(made, real).item():.4f}", flush=True)
    return model.eval()


class _Squares(Dataset[tuple[Tensor, int, tuple[int, int, int, float]]]):
    """The face squares `[3, 256, 256]` uint8 of a face folder, with their rows and boxes."""

    def __init__(self, faces: FaceSet) -> None:
        self.faces = faces

    def __len__(self) -> int:
        return len(self.faces.entries)

    def __getitem__(self, number: int) -> tuple[Tensor, int, tuple[int, int, int, float]]:
        entry = self.faces.entries[number]
        box = _reached(face_box(self.faces.points[entry.row]))
        cut = cut_out(self.faces.load(entry).image, box, max(box.side, _SIDE))
        seen = cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        tensor = torch.from_numpy(seen).permute(2, 0, 1).contiguous()
        return tensor, number, (box.x, box.y, box.side, box.angle)


def _reached(box: Box) -> Box:
    return square(np.array(box.middle), _REACH * box.side, box.angle)


def _squares(faces: FaceSet, workers: int) -> Iterator[Any]:
    return iter(DataLoader(
        _Squares(faces), batch_size=64, num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    ))  # fmt: skip


def train(folders: list[Path], run: Path, minutes: float, device: str, workers: int) -> None:
    """Train each of :data:`DESIGNS` on the training people of `folders`; resumes between them."""
    states = torch.load(run / CHECKPOINT, weights_only=True) if (run / CHECKPOINT).exists() else {}
    left = [number for number in range(len(DESIGNS)) if number not in states]
    if not left:
        return
    chosen = []
    for faces in map(FaceSet, folders):
        rows = {entry.row for entry in faces.split()[0]}
        for squares, numbers, _ in _squares(faces, workers):
            kept = [faces.entries[int(number)].row in rows for number in numbers]
            chosen.append(squares[torch.tensor(kept)])
    every = torch.cat(chosen).to(device)
    for number in left:
        model = fit(DESIGNS[number], every, 60 * minutes / len(DESIGNS))
        states[number] = {name: value.cpu() for name, value in model.state_dict().items()}
        torch.save(states, run / "autoencoders.tmp")
        (run / "autoencoders.tmp").replace(run / CHECKPOINT)


def regenerate(folders: list[Path], run: Path, device: str, workers: int) -> None:
    """Write every face of `folders` as each of the run's autoencoders returns it."""
    models = []
    for number, state in torch.load(run / CHECKPOINT, weights_only=True).items():
        model = Autoencoder(DESIGNS[number])
        model.load_state_dict(state)
        models.append((DESIGNS[number], model.to(device).eval()))
    for faces in map(FaceSet, folders):
        (faces.root / FOLDER).mkdir(exist_ok=True)
        index, writes = [], []
        with ThreadPoolExecutor(max(workers, 1)) as threads:
            for file, picture, of, box in _made(faces, models, device, workers):
                writes.append(threads.submit(_write, faces.root / FOLDER / file, picture))
                index.append({"file": file, "of": of, "box": box})
        for write in writes:
            write.result()
        unfinished = faces.root / FOLDER / "index.tmp"
        unfinished.write_text(json.dumps(index, indent=0) + "\n", encoding="utf-8")
        unfinished.replace(faces.root / FOLDER / "index.json")


@torch.no_grad()
def _made(
    faces: FaceSet, models: list[tuple[Design, Autoencoder]], device: str, workers: int
) -> Iterator[tuple[str, Image, str, list[float]]]:
    """Yield a file name, its picture, the file that it was made of and the square of that."""
    for squares, numbers, boxes in _squares(faces, workers):
        for which, (design, model) in enumerate(models):
            seen = functional.interpolate(squares.to(device) / 255, design.side, mode="area")
            made = (255 * model(seen)).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()
            for row, picture in enumerate(made.numpy()):
                entry = faces.entries[int(numbers[row])]
                box = [one[row].item() for one in boxes]
                yield f"{entry.row:05d}-{which}.png", picture, entry.file, box


def _write(path: Path, picture: Image) -> None:
    if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise ImageFormatError(
            "A regenerated face cannot be written", expected="a writable folder", found=str(path),
            cure="check the folder and the space on its disk",
        )  # fmt: skip
