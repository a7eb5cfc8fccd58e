"""Small autoencoders of faces: their pictures carry the traces of a generator's last layers.

Each enlarges in its own way and has its own bottleneck. A patch critic (Isola et al., "Image-to-
image translation with conditional adversarial networks", CVPR 2017) teaches half of them grain.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
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
from ftsdk.errors import ImageFormatError, OptionError
from ftsdk.files import write_atomically
from ftsdk.imaging.framing import Box, cut_out, square

CHECKPOINT = "autoencoders.pt"
#: Beside the pictures of a face folder: the hashes of what they were made from.
_MAKER = "made_from.txt"
#: Side of a face's square beside the one that the model sees.
_REACH = 0.8
#: Side in px at which faces are kept for training.
_SIDE = 256
#: Faces in a step: on a processor many small steps learn more in a minute than few large ones.
_BATCHES = {"cuda": 32, "cpu": 8}
#: The mean difference, of 1, up to which faces are still faces: at 0.05 they are blurred, at 0.1
#: eyes and mouth are gone.
LEARNT = 0.05
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
    batch = _BATCHES[faces.device.type]
    model, critic = Autoencoder(design).to(faces.device), _critic().to(faces.device)
    learns = torch.optim.Adam(model.parameters(), 1e-3, betas=(0.5, 0.99))
    judges = torch.optim.Adam(critic.parameters(), 4e-4, betas=(0.5, 0.99))
    begun, part = time.monotonic(), 0.0
    while part < 1:
        part = (time.monotonic() - begun) / seconds
        learns.param_groups[0]["lr"] = 1e-3 * max(1 - part, 0.05)
        chosen = faces[torch.randint(len(faces), (batch,), device=faces.device)].float() / 255
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
    return model.eval()


@torch.no_grad()
def _require_learnt(model: Autoencoder, design: Design, faces: Tensor, minutes: float) -> None:
    """Raise OptionError where `model` does not return `faces` [N, 3, 256, 256] uint8 as faces."""
    some = faces[:: max(len(faces) // 64, 1)].float() / 255
    seen = functional.interpolate(some, design.side, mode="area")
    found = functional.l1_loss(model(seen), seen).item()
    print(f"{design}: mean difference {found:.4f}", flush=True)
    if found > LEARNT:
        raise OptionError(
            "An autoencoder has not learnt faces: what it returns is seen to be none",
            expected=f"a mean difference of at most {LEARNT} (of 1) from what it is given",
            found=f"{found:.3f} after {minutes:.3g} minutes, by {design}",
            cure="give --regenerate-minutes more, on a GPU; or begin with --part vision: without "
            "autoencoders the forge makes generators' faces through fewer numbers",
        )


class _Squares(Dataset[tuple[Tensor, int]]):
    """The face squares `[3, 256, 256]` uint8 of a face folder, each with its row, by `rows`."""

    def __init__(self, faces: FaceSet, rows: list[int]) -> None:
        self.faces = faces
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        entry = self.faces.entries[self.rows[number]]
        box = _box(self.faces, entry.row)
        cut = cut_out(self.faces.load(entry).image, box, max(box.side, _SIDE))
        seen = cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(seen).permute(2, 0, 1).contiguous(), entry.row


def _box(faces: FaceSet, row: int) -> Box:
    """Return the square of a face that an autoencoder sees."""
    box = face_box(faces.points[row])
    return square(np.array(box.middle), _REACH * box.side, box.angle)


def _squares(faces: FaceSet, rows: list[int], workers: int) -> Iterator[Any]:
    return iter(DataLoader(
        _Squares(faces, rows), batch_size=64, num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    ))  # fmt: skip


def train(folders: list[Path], run: Path, minutes: float, device: str, workers: int) -> None:
    """Train each of :data:`DESIGNS` on the training people of `folders`; resumes between them.

    Raises:
        OptionError: one has not learnt faces in its share of `minutes`.
    """
    states = torch.load(run / CHECKPOINT, weights_only=True) if (run / CHECKPOINT).exists() else {}
    left = [number for number in range(len(DESIGNS)) if number not in states]
    if not left:
        return
    chosen = []
    for faces in map(FaceSet, folders):
        rows = [entry.row for entry in faces.split()[0]]
        chosen += [squares for squares, _ in _squares(faces, rows, workers)]
    every = torch.cat(chosen).to(device)
    for number in left:
        share = minutes / len(DESIGNS)
        model = fit(DESIGNS[number], every, 60 * share)
        _require_learnt(model, DESIGNS[number], every, share)
        states[number] = {name: value.cpu() for name, value in model.state_dict().items()}
        torch.save(states, run / "autoencoders.tmp")
        (run / "autoencoders.tmp").replace(run / CHECKPOINT)


def regenerate(folders: list[Path], run: Path, device: str, workers: int) -> None:
    """Write every face of `folders` as each of the run's autoencoders returns it.

    Pictures that are there already stay, unless other autoencoders or other faces made them.
    """
    states = torch.load(run / CHECKPOINT, weights_only=True)
    models = {}
    for number, state in states.items():
        model = Autoencoder(DESIGNS[number])
        model.load_state_dict(state)
        models[number] = model.to(device).eval()
    for faces in map(FaceSet, folders):
        out = _begun(faces.root, run / CHECKPOINT)
        left = [
            entry.row for entry in faces.entries
            if not all((out / _name(entry.row, number)).is_file() for number in models)
        ]  # fmt: skip
        with ThreadPoolExecutor(max(workers, 1)) as threads:
            made = _made(faces, left, models, device, workers)
            writes = [threads.submit(_write, out / file, picture) for file, picture in made]
        for write in writes:
            write.result()
        write_atomically(out / "index.json", json.dumps(_index(faces, list(models))).encode())


def _begun(root: Path, checkpoint: Path) -> Path:
    """Return where a face folder's pictures go, empty unless these weights and faces made them."""
    sources = (checkpoint, root / "index.json", root / "landmarks.npz")
    maker = "".join(f"{sha256(file.read_bytes()).hexdigest()}\n" for file in sources)
    out = root / FOLDER
    if not (out / _MAKER).is_file() or (out / _MAKER).read_text() != maker:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir()
        write_atomically(out / _MAKER, maker.encode())
    return out


def _name(row: int, number: int) -> str:
    return f"{row:05d}-{number}.png"


def _index(faces: FaceSet, numbers: list[int]) -> list[dict[str, Any]]:
    """Return what `ft_forge.regenerated` reads: file, what it is of, and the square of that."""
    index = []
    for entry in faces.entries:
        box = _box(faces, entry.row)
        place = [box.x, box.y, box.side, box.angle]
        index += [
            {"file": _name(entry.row, number), "of": entry.file, "box": place} for number in numbers
        ]
    return index


@torch.no_grad()
def _made(
    faces: FaceSet, rows: list[int], models: dict[int, Autoencoder], device: str, workers: int
) -> Iterator[tuple[str, Image]]:
    """Yield file name and picture of the faces in `rows`, as each model returns them."""
    for squares, batch in _squares(faces, rows, workers):
        for number, model in models.items():
            side = DESIGNS[number].side
            seen = functional.interpolate(squares.to(device) / 255, side, mode="area")
            made = (255 * model(seen)).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()
            for row, picture in zip(batch.tolist(), made.numpy(), strict=True):
                yield _name(row, number), picture


def _write(path: Path, picture: Image) -> None:
    """Write a picture, whole or not at all."""
    unfinished = path.with_suffix(".tmp.png")
    if not cv2.imwrite(str(unfinished), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise ImageFormatError(
            "A regenerated face cannot be written", expected="a writable folder", found=str(path),
            cure="check the folder and the space on its disk",
        )  # fmt: skip
    unfinished.replace(path)
