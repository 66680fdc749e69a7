"""Probes cut into rows and answers joined again: how drivers share, split and pad passes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interp.probe import Answer, Oracle, Probe


def cut(probe: Probe, low: int, high: int) -> Probe:
    """Cut a probe.

    Args:
        probe: any.
        low, high: numbers of the first row and of the one after the last.

    Returns:
        a probe of those rows; the probe itself if they are all.
    """
    if low == 0 and high >= len(probe.images):
        return probe
    objective = probe.objective.take(slice(low, high)) if probe.objective else None
    rows = None if probe.rows is None else probe.rows[low:high]
    return replace(probe, images=probe.images[low:high], objective=objective, rows=rows)


def pad(probe: Probe, rows: int) -> Probe:
    """Repeat the first row of a probe: company that fills a chunk.

    Args:
        probe: of at least one row.
        rows: how often.
    """
    images = probe.images[:1].expand(rows, -1, -1, -1)
    objective = (
        probe.objective.take(torch.zeros(rows, dtype=torch.long)) if probe.objective else None
    )
    return Probe(images, objective, probe.gradient, probe.logits, probe.layers, probe.redirect)


def join(answers: Sequence[Answer]) -> Answer:
    """Join the answers to consecutive parts of a probe into that to the whole.

    Args:
        answers: at least one, in order.

    Returns:
        The answer to all rows.
    """
    if len(answers) == 1:
        return answers[0]
    return Answer(
        _concatenated([a.score for a in answers]),
        _concatenated([a.grad for a in answers]),
        _concatenated([a.logits for a in answers]),
        {
            name: torch.cat([a.activations[name] for a in answers])
            for name in answers[0].activations
        },
    )


def _concatenated(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [p for p in parts if p is not None]
    return torch.cat(present) if present else None


class Chunks:
    """Answers through passes of exactly `rows` rows of one probe, filled up with copies, so that no
    company can change a bit.

    How a library adds up may depend on the shape of a pass and on a row's place in it, but not on
    the values of the other rows. So all passes have one shape, and row i of a probe has the place i
    modulo `rows`: whoever cuts a probe cuts it at multiples of that. A probe that may not be split
    has a pass of its own.
    """

    def __init__(self, network: Oracle, rows: int) -> None:
        """Take what answers.

        Args:
            network: answers the chunks.
            rows: of a chunk, at least 1.
        """
        self.network, self.rows = network, rows

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        """Answer probes as the network itself does, row by row.

        Args:
            probes: of any number of rows.

        Returns:
            One answer a probe, in order.
        """
        return [self._answer_in_chunks(probe) for probe in probes]

    def _answer_in_chunks(self, probe: Probe) -> Answer:
        if not probe.splittable:
            return self.network.answer([probe])[0]
        return join(
            [
                self._answer_chunk(cut(probe, low, low + self.rows))
                for low in range(0, len(probe.images), self.rows)
            ]
        )

    def _answer_chunk(self, probe: Probe) -> Answer:
        missing = self.rows - len(probe.images)
        return self.network.answer([probe, pad(probe, missing)] if missing else [probe])[0]
