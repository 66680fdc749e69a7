"""Adversarial PNGs through the service: inside the ball, counted in integers, and the verdict that
of the decoded file.
"""

import io
import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import striate
from bench.figure import Figure, Figures
from bench.setting import MODEL, Setting, cifar

Levels = NDArray[np.int64]  # (N, 3, 32, 32), 0 to 255
LINF = {
    "0.5/255": Fraction(1, 2),
    "1/255": Fraction(1),
    "2/255": Fraction(2),
    "4/255": Fraction(4),
    "8/255": Fraction(8),
}  # in levels
L2 = {name: Fraction(name) * 255 for name in ("0.1", "0.25", "0.5", "1")}


def png(place: Setting, steps: int = 5) -> Figures:
    """2,000 images of the test set under PGD at each radius, as PNGs."""
    images, labels = cifar("test", place.rows or 2000)
    levels = (images * 255).round().long().numpy()
    figures, outside, agreeing, files = Figures(), 0, 0, 0
    with place.connect() as service:
        net = service.model(MODEL)
        for norm, radii in (("linf", LINF), ("l2", L2)):
            for name, radius in radii.items():
                method = striate.PGD(float(radius / 255), steps=steps, norm=norm)  # type: ignore[arg-type]
                found = net.attack(images.numpy(), labels.tolist(), method, format="png")
                seen = _decoded(found.pngs)
                moved = np.abs(seen - levels).reshape(len(seen), -1)
                far = (
                    moved.max(1) > math.floor(radius)
                    if norm == "linf"
                    else (moved**2).sum(1) > math.floor(radius**2)
                )
                outside += int(far.sum())
                agreeing += int(_agrees(place, seen, found).sum())
                files += len(seen)
                figures[
                    f"PNG, {norm} {name}, PGD-{steps}: robust accuracy of {len(seen)} images"
                ] = Figure(found.robust_accuracy)
    figures[f"PNG: files outside the ball, in integers, of {files}"] = Figure(outside, at_most=0)
    figures[f"PNG: verdicts that are those of the decoded file, share of {files}"] = Figure(
        agreeing / files, at_least=1.0
    )
    return figures


def _decoded(files: tuple[bytes, ...]) -> Levels:
    return (
        np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
        .transpose(0, 3, 1, 2)
        .astype(np.int64)
    )


def _agrees(place: Setting, levels: Levels, found: striate.AttackResult) -> NDArray[np.bool_]:
    """Whether prediction and verdict are those of the plain module on the decoded pixels, row by
    row.
    """
    pixels = torch.from_numpy(levels).float() / 255
    module, plan = place.published(MODEL)
    mean, std = (
        torch.tensor(v).view(1, -1, 1, 1) for v in (plan.preprocessing.mean, plan.preprocessing.std)
    )
    with torch.no_grad():
        prediction = (
            torch.cat([module((part - mean) / std) for part in torch.split(pixels, 250)])
            .argmax(1)
            .numpy()
        )
    agrees: NDArray[np.bool_] = (prediction == found.predictions) & (
        (prediction != found.labels) == found.succeeded
    )
    return agrees
