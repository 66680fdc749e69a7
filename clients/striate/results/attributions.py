"""What Model.attribute returns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate._formats import notebook, pictures
from striate._formats.tensors import read_float32
from striate._formats.text import finite
from striate.provenance import Provenance
from striate.v1 import attribution_pb2 as pb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_SHOWN_IMAGES = 64  # in the notebook's picture


@dataclass(frozen=True, eq=False)
class Attributions:
    """How much every pixel has to do with a score, one row an image.

    Attributes:
        method: Name of the method, e.g. "integrated-gradients".
        layer: Layer of Grad-CAM, "" for other methods.
        provenance: Where the attributions came from.
        objectives: What was explained, "logits:class" or the unit; (N,).
        labels: Names of the classes that were explained, "" for units; (N,).
        values: (N, C, H, W) float32, (N, 1, H, W) for Grad-CAM: every pixel's share in the score,
            in the score's units; of saliency, SmoothGrad, guided backprop and guided Grad-CAM a
            slope, in the score's units per unit of pixel value.
        scores: (N,) the logit or activation that was explained.
        deltas: (N,) where the method promises that the values add up, by how much they miss; else
            None.
        overlay_pngs: The images under their heat maps, PNG files.
        heat_map_pngs: The heat maps alone, PNG files.
    """

    method: str
    layer: str
    provenance: Provenance
    objectives: tuple[str, ...]
    labels: tuple[str, ...]
    values: NDArray[np.float32] = field(repr=False)
    scores: NDArray[np.float32] = field(repr=False)
    deltas: NDArray[np.float32] | None = field(repr=False)
    overlay_pngs: tuple[bytes, ...] = field(repr=False)
    heat_map_pngs: tuple[bytes, ...] = field(repr=False)

    @staticmethod
    def read(
        responses: Sequence[pb.AttributeResponse], provenance: Provenance, method: str
    ) -> Attributions:
        """Joins the responses to the parts of one request.

        Args:
            responses: The responses, in the order of the images.
            provenance: Where they came from.
            method: Name of the method.

        Raises:
            Internal: A tensor does not fit its description.
        """
        import numpy as np

        rows = [row for response in responses for row in response.images]
        whole = all(row.HasField("convergence_delta") for row in rows)
        return Attributions(
            method=method,
            layer=responses[0].layer,
            provenance=provenance,
            objectives=tuple(row.objective for row in rows),
            labels=tuple(row.label for row in rows),
            values=np.concatenate([read_float32(one.attributions) for one in responses]),
            scores=np.array([row.score for row in rows], np.float32),
            deltas=np.array([row.convergence_delta for row in rows], np.float32) if whole else None,
            overlay_pngs=tuple(row.overlay_png for row in rows),
            heat_map_pngs=tuple(row.heat_map_png for row in rows),
        )

    def __len__(self) -> int:
        return len(self.objectives)

    @cached_property
    def overlays(self) -> list[Image]:
        """The images under their heat maps (PIL): red raises the score, blue lowers it; for methods
        without a sign, dark to bright.
        """
        return [pictures.decode(png) for png in self.overlay_pngs]

    @cached_property
    def heat_maps(self) -> list[Image]:
        """The heat maps alone (PIL)."""
        return [pictures.decode(png) for png in self.heat_map_pngs]

    @property
    def image(self) -> Image:
        """The first 64 overlays in one picture (PIL)."""
        return pictures.grid(self.overlays[:_SHOWN_IMAGES])

    def summary(self) -> dict[str, Any]:
        """What was explained and how well, as plain values for JSON, without pixels."""
        deltas = [None] * len(self) if self.deltas is None else self.deltas.tolist()
        rows = zip(self.objectives, self.labels, self.scores.tolist(), deltas, strict=True)
        return {
            "method": self.method,
            "layer": self.layer,
            "shape": list(self.values.shape),
            "images": [
                {"objective": o, "label": label, "score": score, "delta": delta}
                for o, label, score, delta in rows
            ],
            "provenance": asdict(self.provenance),
        }

    def save(self, folder: str | Path) -> Path:
        """Saves attributions.npy (the exact values), results.json, and an overlay and a heat map an
        image.

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
        np.save(folder / "attributions.npy", self.values, allow_pickle=False)
        for row, (over, heat) in enumerate(zip(self.overlay_pngs, self.heat_map_pngs, strict=True)):
            (folder / f"{row:05}.overlay.png").write_bytes(over)
            (folder / f"{row:05}.heat.png").write_bytes(heat)
        summary = json.dumps(finite(self.summary()), indent=2, allow_nan=False)
        (folder / "results.json").write_text(summary + "\n")
        return folder

    def _repr_png_(self) -> bytes:
        return pictures.encode_png(self.image)

    def _repr_html_(self) -> str:
        rows = zip(
            self.overlay_pngs[:_SHOWN_IMAGES],
            self.objectives,
            self.labels,
            self.scores,
            strict=False,
        )
        return "".join(
            notebook.figure(png, f"{label or name}: {score:.4g}")
            for png, name, label, score in rows
        )
