"""What an attack on a batch of images returns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate._formats import notebook, pictures
from striate._formats.tensors import read_float32
from striate._rpc.warnings import distinct
from striate.attacks import Attack, EpsilonSearch
from striate.provenance import Provenance
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_SHOWN_IMAGES = 64  # in the notebook's picture
_SUMMARY_COLUMNS = (
    *(
        "labels",
        "targets",
        "clean_predictions",
        "predictions",
        "succeeded",
        "norms",
        "no_freedom",
        "minimal_epsilons",
    ),
    *("clean_activations", "activations", "noise_predictions", "noise_succeeded", "noise_norms"),
)


@dataclass(frozen=True, eq=False)
class AttackResult:
    """Adversarial examples, one row an image.

    Attributes:
        attack: The attack that was asked for.
        provenance: Where the result came from.
        gradients: Image-gradients that were computed.
        queries: Images that were evaluated without a gradient.
        warnings: Why the outcomes might not be what they seem.
        images: (N, C, H, W) float32 in [0, 1].
        pngs: One PNG file an image in png format, else empty.
        labels: (N,) the labels that were attacked.
        targets: (N,) the classes that the images should be taken for, None without.
        clean_predictions: (N,) the network's predictions on the clean images.
        predictions: (N,) its predictions on the returned images.
        succeeded: (N,) Untargeted: the prediction differs from the label, an image that was wrong
            before included. Targeted: the prediction is the target. A unit: its activation is past
            the level.
        norms: (N,) size of the perturbation in the attack's norm and pixel units.
        no_freedom: (N,) the ball holds no 8-bit image but the clean one.
        clean_activations: (N,) activation of the unit that was attacked on the clean images, None
            if none was.
        activations: (N,) its activation on the returned images, None if none was attacked.
        minimal_epsilons: (N,) of an EpsilonSearch: the least radius at which an image was found
            that fools, 0 if the clean one does, NaN if none does; None for other attacks.
        noise_predictions: (N,) predictions under random noise of the same norm, None without the
            noise control.
        noise_succeeded: (N,) whether that noise alone succeeded, None without the noise control.
        noise_norms: (N,) its size, None without the noise control.
        classes: The network's class names.
    """

    attack: Attack | EpsilonSearch
    provenance: Provenance
    gradients: int
    queries: int
    warnings: tuple[str, ...]
    images: NDArray[np.float32] = field(repr=False)
    pngs: tuple[bytes, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    targets: NDArray[np.int64] | None = field(repr=False)
    clean_predictions: NDArray[np.int64] = field(repr=False)
    predictions: NDArray[np.int64] = field(repr=False)
    succeeded: NDArray[np.bool_] = field(repr=False)
    norms: NDArray[np.float64] = field(repr=False)
    no_freedom: NDArray[np.bool_] = field(repr=False)
    clean_activations: NDArray[np.float32] | None = field(repr=False)
    activations: NDArray[np.float32] | None = field(repr=False)
    minimal_epsilons: NDArray[np.float64] | None = field(repr=False)
    noise_predictions: NDArray[np.int64] | None = field(repr=False)
    noise_succeeded: NDArray[np.bool_] | None = field(repr=False)
    noise_norms: NDArray[np.float64] | None = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)

    @staticmethod
    def read(
        responses: Sequence[pb.AttackResponse],
        provenance: Provenance,
        attack: Attack | EpsilonSearch,
        classes: tuple[str, ...],
    ) -> AttackResult:
        """Joins the responses to the parts of one request.

        Args:
            responses: The responses, in the order of the images.
            provenance: Where they came from.
            attack: The attack that was asked for.
            classes: The network's class names.

        Raises:
            Internal: A tensor does not fit its description.
        """
        import numpy as np

        rows = [row for response in responses for row in response.rows]
        return AttackResult(
            attack=attack,
            provenance=provenance,
            gradients=sum(response.gradients for response in responses),
            queries=sum(response.queries for response in responses),
            warnings=distinct(text for response in responses for text in response.warnings),
            images=np.concatenate([_pixels(response) for response in responses]),
            pngs=tuple(png for response in responses for png in response.pngs),
            labels=np.array([row.label for row in rows], np.int64),
            targets=_optional(rows, "target", np.int64),
            clean_predictions=np.array([row.clean_prediction for row in rows], np.int64),
            predictions=np.array([row.prediction for row in rows], np.int64),
            succeeded=np.array([row.succeeded for row in rows], np.bool_),
            norms=np.array([row.norm for row in rows], np.float64),
            no_freedom=np.array([row.no_freedom for row in rows], np.bool_),
            clean_activations=_optional(rows, "clean_activation", np.float32),
            activations=_optional(rows, "activation", np.float32),
            minimal_epsilons=_minimal_epsilons(rows) if isinstance(attack, EpsilonSearch) else None,
            noise_predictions=_optional(rows, "noise_prediction", np.int64),
            noise_succeeded=_optional(rows, "noise_succeeded", np.bool_),
            noise_norms=_optional(rows, "noise_norm", np.float64),
            classes=classes,
        )

    def __len__(self) -> int:
        return len(self.succeeded)

    @property
    def robust_accuracy(self) -> float:
        """Share of the images on which the attack did not succeed, 0 to 1."""
        return float((~self.succeeded).mean())

    @property
    def clean_accuracy(self) -> float:
        """Share of the clean images whose prediction is the label, 0 to 1."""
        return float((self.clean_predictions == self.labels).mean())

    @property
    def noise_robust_accuracy(self) -> float | None:
        """Share of the images on which random noise did not succeed, 0 to 1; None without the noise
        control.
        """
        return None if self.noise_succeeded is None else float((~self.noise_succeeded).mean())

    @property
    def image(self) -> Image:
        """The first 64 adversarial images in one picture (PIL)."""
        return pictures.grid(
            [pictures.from_floats(pixels) for pixels in self.images[:_SHOWN_IMAGES]]
        )

    def summary(self) -> dict[str, Any]:
        """Rates, settings and rows as plain values for JSON, without pixels; NaN is None."""
        return {
            "attack": {"method": type(self.attack).__name__.lower(), **asdict(self.attack)},
            "count": len(self),
            "robust_accuracy": self.robust_accuracy,
            "clean_accuracy": self.clean_accuracy,
            "noise_robust_accuracy": self.noise_robust_accuracy,
            "gradients": self.gradients,
            "queries": self.queries,
            "warnings": list(self.warnings),
            **{
                name: None if (column := getattr(self, name)) is None else _finite(column.tolist())
                for name in _SUMMARY_COLUMNS
            },
            "provenance": asdict(self.provenance),
        }

    def save(self, folder: str | Path) -> Path:
        """Saves results.json, images.npy (the exact pixels) and one PNG file an image.

        In png format the PNG files are the server's, whose success was measured; in float32 format
        they are rounded to 8 bits for the eye.

        Args:
            folder: Where to; it is made if it is missing.

        Returns:
            The folder.

        Raises:
            OSError: A file cannot be written.
        """
        import numpy as np

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "images.npy", self.images, allow_pickle=False)
        for row, pixels in enumerate(self.images):
            png = self.pngs[row] if self.pngs else pictures.encode_png(pictures.from_floats(pixels))
            (folder / f"{row:05}.png").write_bytes(png)
        note = (
            "as measured"
            if self.pngs
            else "rounded to 8 bits for the eye; images.npy has the pixels that were measured"
        )
        (folder / "results.json").write_text(
            json.dumps({**self.summary(), "png_files": note}, indent=2) + "\n"
        )
        return folder

    def _repr_png_(self) -> bytes:
        return pictures.encode_png(self.image)

    def _repr_html_(self) -> str:
        caption = (
            f"{self.attack}: {self.succeeded.sum()} of {len(self)} succeeded, robust accuracy "
            f"{self.robust_accuracy:.1%}"
        )
        return notebook.figure(self._repr_png_(), caption)


def _finite(values: Iterable[Any]) -> list[Any]:
    """The values with None for NaN, which JSON does not have."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _optional(rows: Sequence[pb.AttackRow], name: Any, dtype: Any) -> Any:
    """A column of the rows, None if they lack it."""
    import numpy as np

    return (
        np.array([getattr(row, name) for row in rows], dtype)
        if all(row.HasField(name) for row in rows)
        else None
    )


def _minimal_epsilons(rows: Sequence[pb.AttackRow]) -> NDArray[np.float64]:
    """A search's minimal epsilons, (N,), NaN for images that nothing fooled."""
    import numpy as np

    return np.array(
        [row.minimal_epsilon if row.HasField("minimal_epsilon") else math.nan for row in rows],
        np.float64,
    )


def _pixels(response: pb.AttackResponse) -> NDArray[np.float32]:
    """The images of a response, (N, C, H, W), in either format."""
    import numpy as np

    if not response.pngs:
        return read_float32(response.images)
    return np.stack([pictures.to_floats(pictures.decode(png)) for png in response.pngs])
