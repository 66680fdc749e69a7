"""Probes cut into rows and answers joined again: how drivers share, split and pad passes."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from interp.ascent import Answer, Oracle, Probe


def cut(probe: Probe, low: int, high: int) -> Probe:
    """The rows low to high - 1 of a probe; the probe itself if those are all."""
    if low == 0 and high >= len(probe.images):
        return probe
    objective = probe.objective.take(slice(low, high)) if probe.objective else None
    return Probe(
        probe.images[low:high], objective, probe.gradient, probe.logits, probe.layers, probe.redirect, probe.splittable, probe.progress
    )


def pad(probe: Probe, rows: int) -> Probe:
    """The first row of a probe, `rows` times over: company that fills a chunk."""
    images = probe.images[:1].expand(rows, -1, -1, -1)
    objective = probe.objective.take(torch.zeros(rows, dtype=torch.long)) if probe.objective else None
    return Probe(images, objective, probe.gradient, probe.logits, probe.layers, probe.redirect)


def join(answers: Sequence[Answer]) -> Answer:
    """The answer to a whole probe from those to its consecutive parts."""
    if len(answers) == 1:
        return answers[0]
    return Answer(
        _joined([a.score for a in answers]),
        _joined([a.grad for a in answers]),
        _joined([a.logits for a in answers]),
        {name: torch.cat([a.activations[name] for a in answers]) for name in answers[0].activations},
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [p for p in parts if p is not None]
    return torch.cat(present) if present else None


class Chunks:
    """Answers through passes of exactly `rows` rows, filled up with copies, so that the company of a row cannot change a bit.

    The order in which a library adds up may depend on the shape of a pass, but not on the other rows' values: with one shape
    for all passes a row's answer is the same whatever it shares a chunk with. Each chunk holds rows of one kind of probe; a probe
    that may not be split has a pass of its own.
    """

    def __init__(self, network: Oracle, rows: int) -> None:
        self.network, self.rows = network, rows

    def answer(self, probes: Sequence[Probe]) -> list[Answer]:
        """Answer like the network itself, row by row."""
        parts: dict[int, list[Answer]] = {number: [] for number in range(len(probes))}
        for kin in _kinds(probes):
            if not probes[kin[0]].splittable:  # a kind of its own
                parts[kin[0]] = self.network.answer([probes[kin[0]]])
                continue
            for chunk in self._chunks([(number, len(probes[number].images)) for number in kin]):
                asked = [cut(probes[number], low, high) for number, low, high in chunk]
                missing = self.rows - sum(len(p.images) for p in asked)
                filling = [pad(asked[0], missing)] if missing else []
                answers = self.network.answer(asked + filling)
                for (number, _, _), answer in zip(chunk, answers, strict=False):
                    parts[number].append(answer)
        return [join(parts[number]) for number in range(len(probes))]

    def _chunks(self, sizes: list[tuple[int, int]]) -> Iterator[list[tuple[int, int, int]]]:
        """Fills chunks with (number, low, high) from probes of given (number, rows), in order."""
        chunk: list[tuple[int, int, int]] = []
        space = self.rows
        for number, rows in sizes:
            low = 0
            while low < rows:
                high = min(rows, low + space)
                chunk.append((number, low, high))
                space -= high - low
                low = high
                if not space:
                    yield chunk
                    chunk, space = [], self.rows
        if chunk:
            yield chunk


def _kinds(probes: Sequence[Probe]) -> list[list[int]]:
    """Numbers of the probes, by what they ask for."""
    kinds: dict[object, list[int]] = {}
    for number, p in enumerate(probes):
        objective = p.objective and (p.objective.score, p.objective.layers)
        alone = None if p.splittable else number
        kinds.setdefault((objective, p.differentiates, p.logits, p.layers, p.redirect, alone), []).append(number)
    return list(kinds.values())
