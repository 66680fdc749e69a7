"""The robustness audit of a network: a shard of images under every threat, every corruption and
every augmentation.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp.attack.ball import LEVELS, Ball, radii
from interp.attack.goal import Untargeted
from interp.attack.unanswered import legal_logits
from interp.audit.conditions import condition
from interp.audit.findings import NOISE, Findings, longest, perturbation
from interp.audit.plan import MAGNITUDES, Plan, PlannedAttack, Threat
from interp.audit.result import Bools, Examples, ShardResult
from interp.corruption.augmentation import augment
from interp.corruption.imagenet_c import corrupt
from interp.probe import Probe, Procedure, on_rows
from interp.seeds import Generators, generators

__all__ = ["Examples", "Plan", "PlannedAttack", "ShardResult", "Threat", "audit_shard"]

AT_ONCE = 64  # images that are made noisy, corrupted or augmented at a time


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
    further: Sequence[PlannedAttack]
    findings: Findings

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


def audit_shard(
    x: Tensor,
    labels: Tensor,
    plan: Plan,
    first_row: int,
    further: Sequence[PlannedAttack] = (),
) -> Procedure[ShardResult]:
    """Find out how a network fares on a shard of images under everything that a plan tries.

    Row i draws its randomness from (plan.seed, first_row + i), afresh for everything that is tried:
    an outcome depends neither on the other rows nor on what else the plan tries. Every attack walks
    each threat's epsilons upwards on the rows that it has not fooled yet, for an image found lies
    in the larger balls too: accuracy falls with epsilon by construction. It is judged by the
    network's prediction on the images that are kept. What is known against an image in the end is
    more than that: every image in its balls that anything asked about, under whichever threat.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes, on the same device.
        plan: what is tried.
        first_row: the place of the first image in the audit's order.
        further: attacks that are no columns of tables, tried where nothing else found anything;
            labels are those of `interp.audit.findings.finders`.

    Returns:
        A procedure whose result is what was found out, in the host's memory.

    Raises:
        RuntimeError: an attack's image lies outside its ball.
    """
    x = _eight_bit(x) if plan.eight_bit else x
    clean = yield Probe(x, logits=True)
    assert clean.logits is not None
    prediction = clean.logits.argmax(1)
    right = prediction == labels
    findings = Findings(x, labels, right, plan, first_row)
    shard = _Shard(x, labels, right, plan, first_row, further, findings)
    records = [_ThreatRecord(shard, number) for number in range(len(plan.threats))]
    for record in records:
        yield from record.run()
    everything = torch.arange(len(x), device=x.device)
    corrupted, augmented = [], []
    for name, severity in plan.corrupted:
        judged = shard.judged(_corrupted(shard, name, severity), everything)
        corrupted.append((yield from findings.watch(judged, f"{name} {severity}")))
    for name in plan.augmentations:
        judged = shard.judged(_augmented(shard, name), everything)
        augmented.append((yield from findings.watch(judged, f"augmentation {name}")))
    for record in records:
        yield from record.run_further()
    return ShardResult(
        clean=prediction.cpu().numpy(),
        noise=[record.noise for record in records],
        fooled_at=[record.fooled_at for record in records],
        worst_at=[
            torch.where(right, findings.least(number), 0).cpu().numpy().astype(np.int16)
            for number in range(len(records))
        ],
        corrupted=np.array(corrupted, dtype=np.bool_).reshape(-1, len(x)),
        augmented=np.array(augmented, dtype=np.bool_).reshape(-1, len(x)),
        gradients=sum(record.gradients for record in records),
        queries=sum(record.queries for record in records),
        examples=findings.examples(),
    )


def empty_shard(plan: Plan, shape: tuple[int, ...]) -> ShardResult:
    """What is found out about no images.

    Args:
        plan: what would be tried.
        shape: of an image, (C, H, W).
    """
    dtype = np.uint8 if plan.eight_bit else np.float32
    whole, none = np.zeros(0, dtype=np.int64), np.zeros(0)
    examples = Examples(np.zeros((0, *shape), dtype), whole, whole, whole, whole, whole, none)
    return ShardResult(
        clean=whole,
        noise=[np.zeros((len(e), 0), dtype=np.bool_) for _, e in plan.threats],
        fooled_at=[np.zeros((len(plan.attacks), 0), dtype=np.int16) for _ in plan.threats],
        worst_at=[np.zeros(0, dtype=np.int16) for _ in plan.threats],
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
    """Who of a shard's images withstands what, under one threat."""

    def __init__(self, shard: _Shard, number: int) -> None:
        self.shard, self.number, self.threat = shard, number, shard.plan.threats[number]
        rows, never = len(shard.x), len(self.threat.epsilons)
        self.noise = np.zeros((never, rows), dtype=np.bool_)
        self.fooled_at = np.full((len(shard.plan.attacks), rows), never, dtype=np.int16)
        self.fooled_at[:, (~shard.right).cpu().numpy()] = 0
        self.gradients = self.queries = 0

    def run(self) -> Procedure[None]:
        (right,) = self.shard.right.nonzero(as_tuple=True)
        findings = self.shard.findings
        for level, epsilon in enumerate(self.threat.epsilons):
            noise = self.shard.judged(_noisy(self.shard, self.threat.p, epsilon), right)
            self.noise[level] = yield from findings.watch(noise, NOISE, self.number)
        for number, entry in enumerate(self.shard.plan.attacks):
            left = right
            for level in range(len(self.threat.epsilons)):
                attack = self.attack(entry, level, left)
                fooled = yield from findings.watch(attack, entry.label, self.number)
                self.fooled_at[number, left[fooled].cpu().numpy()] = level
                left = left[~fooled]

    def run_further(self) -> Procedure[None]:
        """Run the shard's further attacks at each epsilon on the rows of which nothing is known."""
        findings = self.shard.findings
        for entry in self.shard.further:
            for level in range(len(self.threat.epsilons)):
                left = self.shard.right & (findings.least(self.number) > level)
                attack = self.attack(entry, level, left.nonzero(as_tuple=True)[0])
                yield from findings.watch(attack, entry.label, self.number)

    def attack(self, entry: PlannedAttack, level: int, left: Tensor) -> Procedure[Tensor]:
        """Attack the rows `left` (A,) at one epsilon; returns which of them it fools, (A,) bool."""
        epsilon = self.threat.epsilons[level]
        ball = self.shard.ball(self.threat.p, epsilon, left)
        if ball.fixed.all():  # no row is left, or no other image is near enough
            return torch.zeros_like(left, dtype=torch.bool)
        labels = self.shard.labels[left]
        use = f"{condition(self.threat.p, epsilon)} {entry.label}"
        search = entry.method.search(ball, Untargeted(labels), self.shard.streams(use, left))
        summit = yield from on_rows(search, left)
        self.gradients, self.queries = (
            self.gradients + summit.gradients,
            self.queries + summit.queries,
        )
        images = self.stored(summit.images)
        answer = yield Probe(images, logits=True, rows=left)
        assert answer.logits is not None
        eight_bit = self.shard.plan.eight_bit
        length = perturbation(images, ball.x, self.threat.p, eight_bit)
        reach = longest(epsilon, self.threat.p, ball.x[0].numel(), eight_bit)
        if (length > reach).any():
            raise RuntimeError(
                f"{entry.label} left its ball: norm {length.max():.6g} at "
                f"{condition(self.threat.p, epsilon)}"
            )
        return (answer.logits.argmax(1) != labels) & legal_logits(answer.logits)

    def stored(self, images: Tensor) -> Tensor:
        """What is left of images that are stored, as the network takes them."""
        if self.shard.plan.eight_bit:
            return _eight_bit(images)
        return images.float().to(images)
