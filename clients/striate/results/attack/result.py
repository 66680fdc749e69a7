"""What an attack on a batch of images returns."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate._formats import notebook, pictures
from striate._formats.tensors import read_float32
from striate._formats.text import finite
from striate._rpc.warnings import distinct
from striate.attacks import Attack, EpsilonSearch
from striate.errors import invalid
from striate.provenance import Provenance
from striate.results.attack.failure import RowFailure
from striate.v1 import attack_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SHOWN_ROWS = 8  # images that a notebook shows, each beside the clean one
_SHOWN_IMAGES = 64  # in `image`
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
        failures: The images without an outcome, by rising number: on them the network's gradient,
            logits or activation is no number. They are neither fooled nor robust, have `succeeded`
            false, and count in no accuracy.
        images: (N, C, H, W) float32 in [0, 1].
        pngs: One PNG file an image in png format, else empty.
        labels: (N,) the labels that were attacked.
        targets: (N,) the classes that the images should be taken for, None without.
        clean_predictions: (N,) the network's predictions on the clean images, -1 where its logits
            are no numbers.
        predictions: (N,) its predictions on the returned images, -1 likewise.
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
        noise_predictions: (N,) predictions under random noise of the same norm, -1 for images
            without an outcome, under noise or at all; None without the noise control.
        noise_succeeded: (N,) whether that noise alone succeeded, None without the noise control.
        noise_norms: (N,) its size, NaN where the prediction is -1, None without the noise
            control.
        classes: The network's class names.
        clean: (up to 8, C, H, W) float32 in [0, 1], the first clean images as the network saw them,
            those that the server resized to 8 bits; None from a server that does not give them.
    """

    attack: Attack | EpsilonSearch
    provenance: Provenance
    gradients: int
    queries: int
    warnings: tuple[str, ...]
    failures: tuple[RowFailure, ...]
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
    clean: NDArray[np.float32] | None = field(default=None, repr=False)

    @staticmethod
    def read(
        responses: Sequence[pb.AttackResponse],
        provenance: Provenance,
        attack: Attack | EpsilonSearch,
        classes: tuple[str, ...],
        clean: NDArray[np.float32] | None = None,
    ) -> AttackResult:
        """Joins the responses to the parts of one request.

        Args:
            responses: The responses, in the order of the images.
            provenance: Where they came from.
            attack: The attack that was asked for.
            classes: The network's class names.
            clean: The first clean images, where the caller has them.

        Raises:
            Internal: A tensor does not fit its description.
        """
        import numpy as np

        rows = [row for response in responses for row in response.rows]
        failures = tuple(
            RowFailure.read(row.failure, index)
            for index, row in enumerate(rows)
            if row.HasField("failure")
        )
        nameless = [failure.index for failure in failures if failure.on_clean_logits]
        noise = any(row.HasField("noise_prediction") for row in rows)
        return AttackResult(
            attack=attack,
            provenance=provenance,
            gradients=sum(response.gradients for response in responses),
            queries=sum(response.queries for response in responses),
            warnings=distinct(text for response in responses for text in response.warnings),
            failures=failures,
            images=np.concatenate([_pixels(response) for response in responses]),
            pngs=tuple(png for response in responses for png in response.pngs),
            labels=np.array([row.label for row in rows], np.int64),
            targets=_optional(rows, "target", np.int64),
            clean_predictions=_classes([row.clean_prediction for row in rows], nameless),
            predictions=_classes([row.prediction for row in rows], nameless),
            succeeded=np.array([row.succeeded for row in rows], np.bool_),
            norms=np.array([row.norm for row in rows], np.float64),
            no_freedom=np.array([row.no_freedom for row in rows], np.bool_),
            clean_activations=_optional(rows, "clean_activation", np.float32),
            activations=_optional(rows, "activation", np.float32),
            minimal_epsilons=_minimal_epsilons(rows) if isinstance(attack, EpsilonSearch) else None,
            noise_predictions=_present(rows, "noise_prediction", -1, np.int64) if noise else None,
            noise_succeeded=_present(rows, "noise_succeeded", False, np.bool_) if noise else None,
            noise_norms=_present(rows, "noise_norm", math.nan, np.float64) if noise else None,
            classes=classes,
            clean=_clean(responses) if clean is None else clean,
        )

    def __len__(self) -> int:
        return len(self.succeeded)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N,) whether an image has an outcome, which those of `failures` do not."""
        import numpy as np

        answered = np.ones(len(self), np.bool_)
        answered[[failure.index for failure in self.failures]] = False
        return answered

    @property
    def robust_accuracy(self) -> float:
        """Share of the images with an outcome on which the attack did not succeed, 0 to 1; NaN if
        none has one.
        """
        return _share(~self.succeeded[self.answered])

    @property
    def clean_accuracy(self) -> float:
        """Share of the images with an outcome whose clean prediction is the label, 0 to 1; NaN if
        none has one.
        """
        return _share((self.clean_predictions == self.labels)[self.answered])

    @property
    def noise_robust_accuracy(self) -> float | None:
        """Share of the images with an outcome, under noise too, on which random noise did not
        succeed, 0 to 1; NaN if none has one; None without the noise control.
        """
        if self.noise_succeeded is None or self.noise_predictions is None:
            return None
        return _share(~self.noise_succeeded[self.noise_predictions >= 0])

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
            "robust_accuracy": _number(self.robust_accuracy),
            "clean_accuracy": _number(self.clean_accuracy),
            "noise_robust_accuracy": _number(self.noise_robust_accuracy),
            "gradients": self.gradients,
            "queries": self.queries,
            "warnings": list(self.warnings),
            "failures": [asdict(failure) for failure in self.failures],
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
        summary = finite({**self.summary(), "png_files": note})
        (folder / "results.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        return folder

    def comparison(self, row: int) -> Image:
        """Shows an image as it was, its perturbation and the adversarial image side by side.

        The perturbation is magnified so that its largest change spans the whole range about gray,
        which stands for no change.

        Args:
            row: One of the first 8, which have their clean images.

        Returns:
            The picture (PIL).

        Raises:
            InvalidArgument: The clean image is not there.
        """
        if self.clean is None or not 0 <= row < len(self.clean):
            raise invalid("row", f"must be one whose clean image is kept, is {row}")
        clean, image = self.clean[row], self.images[row]
        delta = image - clean
        magnified = 0.5 + delta / (2 * max(float(abs(delta).max()), 1e-12))
        return pictures.grid([pictures.from_floats(one) for one in (clean, magnified, image)])

    def _repr_png_(self) -> bytes:
        return pictures.encode_png(self.image)

    def _repr_html_(self) -> str:
        caption = (
            f"{self.attack}: {self.succeeded.sum()} of {self.answered.sum()} succeeded, robust "
            f"accuracy {self.robust_accuracy:.1%}"
        )
        if self.failures:
            caption += f"; {len(self.failures)} without an outcome"
        if self.clean is None:
            return notebook.figure(self._repr_png_(), caption)
        rows = range(len(self.clean))
        figures = (
            notebook.figure(pictures.encode_png(self.comparison(row)), self._story(row))
            for row in rows
        )
        more = f", of which the first {len(rows)} are shown" if len(rows) < len(self) else ""
        return f"<p>{html.escape(caption)}{more}</p>{''.join(figures)}"

    def _story(self, row: int) -> str:
        """What happened to an image, below its picture."""
        if not self.answered[row]:
            return "clean, without an outcome"
        name = self.classes.__getitem__
        before, after = int(self.clean_predictions[row]), int(self.predictions[row])
        return (
            f"clean ({name(before)}), perturbation of size {self.norms[row]:.3g} magnified, "
            f"{'fooled' if self.succeeded[row] else 'withstood'} ({name(after)})"
        )


def _clean(responses: Sequence[pb.AttackResponse]) -> NDArray[np.float32] | None:
    """The clean images of the first response, None if it has none."""
    import numpy as np

    if not responses or not responses[0].HasField("clean"):
        return None
    return read_float32(responses[0].clean) / np.float32(255)


def _share(outcomes: NDArray[np.bool_]) -> float:
    return float(outcomes.mean()) if len(outcomes) else math.nan


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _classes(values: Sequence[int], nameless: Sequence[int]) -> NDArray[np.int64]:
    """Classes of the rows, -1 for those that have none."""
    import numpy as np

    classes = np.array(values, np.int64)
    classes[list(nameless)] = -1
    return classes


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


def _present(rows: Sequence[pb.AttackRow], name: Any, missing: Any, dtype: Any) -> Any:
    """A column of the rows, with a value for those that lack it."""
    import numpy as np

    return np.array([getattr(row, name) if row.HasField(name) else missing for row in rows], dtype)


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
