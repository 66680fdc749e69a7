"""Images of a scan on which the network gives no numbers: an error, or left out."""

from dataclasses import replace

from service.datasets import Dataset
from service.datasets.samples import LeftOut
from service.engine.job import NotFinite
from service.index.scan import ScannedBatch


def sound(batch: ScannedBatch, dataset: Dataset, look_step: int) -> ScannedBatch:
    """Leave out the images of a batch on which an activation is no number.

    Args:
        batch: that has been seen.
        dataset: whose images they are; its `skip_bad` decides.
        look_step: of so many images one was looked at.

    Returns:
        The batch, with these images among those left out.

    Raises:
        NotFinite: there is one, and the data set leaves none out; the message names it.
    """
    wrong = _layers_at_fault(batch)
    if not wrong:
        return batch
    reasons = {
        row: f"an activation of layer {layer!r} is infinite in 32 bits or not a number"
        for row, layer in sorted(wrong.items())
    }
    if not dataset.skip_bad:
        row, reason = next(iter(reasons.items()))
        name = f" ({batch.names[row]!r})" if batch.names[row] else ""
        raise NotFinite(
            f"image {batch.ids[row]}{name} of data set {dataset.name!r} cannot be used: {reason}; "
            f"skip_bad, --skip-bad or ?on_error=skip leaves out what cannot be used"
        )
    kept = [row for row in range(len(batch.ids)) if row not in wrong]
    looked_at = [row for row, image in enumerate(batch.ids) if image % look_step == 0]
    return replace(
        batch,
        ids=[batch.ids[row] for row in kept],
        labels=[batch.labels[row] for row in kept],
        names=[batch.names[row] for row in kept],
        summaries={layer: found.rows(kept) for layer, found in batch.summaries.items()},
        left_out=[
            *batch.left_out,
            *(LeftOut(batch.ids[row], batch.names[row], why) for row, why in reasons.items()),
        ],
        looks=[look for row, look in zip(looked_at, batch.looks, strict=True) if row not in wrong],
    )


def _layers_at_fault(batch: ScannedBatch) -> dict[int, str]:
    """Row -> the first layer that is no number there."""
    found: dict[int, str] = {}
    for layer, summary in batch.summaries.items():
        for row in (~summary.finite).nonzero().flatten().tolist():
            found.setdefault(row, layer)
    return found
