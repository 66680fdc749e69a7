"""The robustness audit of a network: a shard of images under every threat, every corruption and
every augmentation.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.attack.ball import LEVELS, Ball, radii
from interp.attack.goal import Untargeted
from interp.audit.conditions import condition
from interp.audit.plan import MAGNITUDES, Plan, PlannedAttack, Threat
from interp.audit.result import Bools, Examples, ShardResult
from interp.corruption.augmentation import augment
from interp.corruption.imagenet_c import corrupt
from interp.norms import norm
from interp.probe import Probe, Procedure, on_rows
from interp.seeds import Generators, generators

__all__ = ["Examples", "Plan", "PlannedAttack", "ShardResult", "Threat", "audit_shard"]

AT_ONCE = 64  # images that are made noisy, corrupted or augmented at a time
# By how much rounding may lengthen a perturbation: a share of epsilon, of a level what a ball of
# 8-bit images allows, and every pixel.
SLACK, OF_A_LEVEL, OF_A_PIXEL = 1e-5, 1.5e-4, 2.0**-23


def streams(seed: int, use: str, rows: list[int]) -> Generators:
    """One generator for each of the audit's `rows`, by `seed`, from 0 to 2^64 - 1, and by what it
    is used for, and by nothing else.

    Args:
        seed: of the audit, from 0 to 2^64 - 1.
        use: what the randomness is for.
        rows: numbers in the audit's order.
    """
    own = int.from_bytes(hashlib.blake2b(use.encode(), digest_size=8).digest(), "big") << 64
    return [generators(seed + own, row, 1)[0] for row in rows]


@dataclass(frozen=True, eq=False)
class _Shard:
    x: Tensor  # (B, C, H, W)
    labels: Tensor  # (B,)
    right: Tensor  # (B,) bool, as they are
    plan: Plan
    first_row: int

    def streams(self, use: str, chosen: Tensor) -> Generators:
        return streams(self.plan.seed, use, [self.first_row + row for row in chosen.tolist()])

    def ball(self, p: float, epsilon: float, chosen: Tensor) -> Ball:
        x = self.x[chosen]
        return Ball(x, radii(epsilon, x), p, eight_bit=self.plan.eight_bit)

    def shown(self, images: Tensor) -> Tensor:
        return _eight_bit(images) if self.plan.eight_bit else images

    def judged(self, make: Callable[[Tensor], Tensor], chosen: Tensor) -> Procedure[Bools]:
        """(B,) which of the rows `chosen` (A,) are right on the images that `make` makes of them, a
        few at a time; the others are not.
        """
        right = np.zeros(len(self.x), dtype=np.bool_)
        for part in torch.split(chosen, AT_ONCE) if len(chosen) else ():
            answer = yield Probe(make(part), logits=True, rows=part)
            assert answer.logits is not None
            right[part.cpu().numpy()] = (answer.logits.argmax(1) == self.labels[part]).cpu().numpy()
        return right


def _eight_bit(images: Tensor) -> Tensor:
    return (images * LEVELS).round() / LEVELS


def audit_shard(x: Tensor, labels: Tensor, plan: Plan, first_row: int) -> Procedure[ShardResult]:
    """Find out how a network fares on a shard of images under everything that a plan tries.

    Row i draws its randomness from (plan.seed, first_row + i), afresh for everything that is tried:
    an outcome depends neither on the other rows nor on what else the plan tries. Every attack walks
    each threat's epsilons upwards on the rows that it has not fooled yet, for an image found lies
    in the larger balls too: accuracy falls with epsilon by construction. It is judged by the
    network's prediction on the images that are kept.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes, on the same device.
        plan: what is tried.
        first_row: the place of the first image in the audit's order.

    Returns:
        A procedure whose result is what was found out, in the host's memory.

    Raises:
        RuntimeError: an attack's image lies outside its ball.
    """
    x = _eight_bit(x) if plan.eight_bit else x
    clean = yield Probe(x, logits=True)
    assert clean.logits is not None
    prediction = clean.logits.argmax(1)
    shard = _Shard(x, labels, prediction == labels, plan, first_row)
    records = []
    for threat in plan.threats:
        record = _ThreatRecord(shard, threat)
        yield from record.run()
        records.append(record)
    everything = torch.arange(len(x), device=x.device)
    corrupted, augmented = [], []
    for name, severity in plan.corrupted:
        corrupted.append((yield from shard.judged(_corrupted(shard, name, severity), everything)))
    for name in plan.augmentations:
        augmented.append((yield from shard.judged(_augmented(shard, name), everything)))
    return ShardResult(
        clean=prediction.cpu().numpy(),
        noise=[record.noise for record in records],
        fooled_at=[record.fooled_at for record in records],
        corrupted=np.array(corrupted, dtype=np.bool_).reshape(-1, len(x)),
        augmented=np.array(augmented, dtype=np.bool_).reshape(-1, len(x)),
        gradients=sum(record.gradients for record in records),
        queries=sum(record.queries for record in records),
        examples=[record.examples() for record in records],
    )


def empty_shard(plan: Plan, shape: tuple[int, ...]) -> ShardResult:
    """What is found out about no images.

    Args:
        plan: what would be tried.
        shape: of an image, (C, H, W).
    """
    dtype = np.uint8 if plan.eight_bit else np.float32
    whole, none = np.zeros(0, dtype=np.int64), np.zeros(0)
    examples = Examples(np.zeros((0, *shape), dtype), whole, whole, whole, whole, none)
    return ShardResult(
        clean=whole,
        noise=[np.zeros((len(e), 0), dtype=np.bool_) for _, e in plan.threats],
        fooled_at=[np.zeros((len(plan.attacks), 0), dtype=np.int16) for _ in plan.threats],
        corrupted=np.zeros((len(plan.corrupted), 0), dtype=np.bool_),
        augmented=np.zeros((len(plan.augmentations), 0), dtype=np.bool_),
        gradients=0,
        queries=0,
        examples=[examples for _ in plan.threats],
    )


def _corrupted(shard: _Shard, name: str, severity: int) -> Callable[[Tensor], Tensor]:
    return lambda part: shard.shown(
        corrupt(name, shard.x[part], severity, shard.streams(f"{name} {severity}", part))
    )


def _augmented(shard: _Shard, name: str) -> Callable[[Tensor], Tensor]:
    return lambda part: shard.shown(
        augment(name, shard.x[part], MAGNITUDES[name], shard.streams(name, part))
    )


def _noisy(shard: _Shard, p: float, epsilon: float) -> Callable[[Tensor], Tensor]:
    def make(part: Tensor) -> Tensor:
        ball = shard.ball(p, epsilon, part)
        return ball.image(ball.noise(shard.streams(f"{condition(p, epsilon)} noise", part)))

    return make


class _ThreatRecord:
    """What is found out about a shard under one threat; of adversarial images the one of the least
    epsilon a row, in the host's memory.
    """

    def __init__(self, shard: _Shard, threat: Threat) -> None:
        self.shard, self.threat = shard, threat
        rows, never = len(shard.x), len(threat.epsilons)
        self.noise = np.zeros((never, rows), dtype=np.bool_)
        self.fooled_at = np.full((len(shard.plan.attacks), rows), never, dtype=np.int16)
        self.fooled_at[:, (~shard.right).cpu().numpy()] = 0
        self.images = np.zeros(
            shard.x.shape, dtype=np.uint8 if shard.plan.eight_bit else np.float32
        )
        self.least = np.full(rows, never)
        self.by_attack, self.prediction, self.norm = (
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows),
        )
        self.gradients = self.queries = 0

    def run(self) -> Procedure[None]:
        (right,) = self.shard.right.nonzero(as_tuple=True)
        for level, epsilon in enumerate(self.threat.epsilons):
            self.noise[level] = yield from self.shard.judged(
                _noisy(self.shard, self.threat.p, epsilon), right
            )
        for number in range(len(self.shard.plan.attacks)):
            left = right
            for level in range(len(self.threat.epsilons)):
                left = yield from self.attack(number, level, left)

    def attack(self, number: int, level: int, left: Tensor) -> Procedure[Tensor]:
        """Attack the rows `left` (A,) at one epsilon; returns those that withstand it."""
        epsilon, entry = self.threat.epsilons[level], self.shard.plan.attacks[number]
        ball = self.shard.ball(self.threat.p, epsilon, left)
        if ball.fixed.all():  # no row is left, or no other image is near enough
            return left
        labels = self.shard.labels[left]
        use = f"{condition(self.threat.p, epsilon)} {entry.label}"
        search = entry.method.search(ball, Untargeted(labels), self.shard.streams(use, left))
        summit = yield from on_rows(search, left)
        self.gradients, self.queries = (
            self.gradients + summit.gradients,
            self.queries + summit.queries,
        )
        images, kept = self.stored(summit.images)
        answer = yield Probe(images, logits=True, rows=left)
        assert answer.logits is not None
        prediction = answer.logits.argmax(1)
        fooled = prediction != labels
        length = norm((images - ball.x).double(), self.threat.p).flatten()
        rounding = norm(torch.full_like(ball.x[:1], OF_A_PIXEL), self.threat.p).item()
        if (length > epsilon * (1 + SLACK) + OF_A_LEVEL / LEVELS + rounding).any():
            raise RuntimeError(
                f"{entry.label} left its ball: norm {length.max():.6g} at "
                f"{condition(self.threat.p, epsilon)}"
            )
        self.note_fooled(
            number,
            level,
            left[fooled],
            *(found[fooled].cpu().numpy() for found in (kept, prediction, length)),
        )
        return left[~fooled]

    def stored(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of images that are stored: (as the network takes them, as they are
        stored).
        """
        if self.shard.plan.eight_bit:
            levels = (images * LEVELS).round().to(torch.uint8)
            return levels.to(images) / LEVELS, levels
        return images.float().to(images), images.float()

    def note_fooled(
        self, number: int, level: int, fooled: Tensor, images: Any, prediction: Any, length: Any
    ) -> None:
        rows = fooled.cpu().numpy()
        self.fooled_at[number, rows] = level
        nearer = level < self.least[rows]
        rows = rows[nearer]
        self.least[rows], self.by_attack[rows] = level, number
        self.images[rows], self.prediction[rows], self.norm[rows] = (
            images[nearer],
            prediction[nearer],
            length[nearer],
        )

    def examples(self) -> Examples:
        (rows,) = (self.least < len(self.threat.epsilons)).nonzero()
        return Examples(
            self.images[rows],
            self.shard.first_row + rows,
            self.by_attack[rows],
            self.least[rows],
            self.prediction[rows],
            self.norm[rows],
        )
