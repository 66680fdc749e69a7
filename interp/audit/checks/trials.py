"""Attacks and noise on the same images, whose outcomes checks compare."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.attack.ball import LEVELS, Ball, radii
from interp.attack.base import Method
from interp.attack.goal import Untargeted
from interp.audit.checks.outputs import predict_logits
from interp.probe import Procedure, on_rows
from interp.seeds import Generators, generators

RUN = 2**52  # what lies between the seeds of two runs
NOISES = 10  # draws


@dataclass(frozen=True, eq=False)
class AttackTrials:
    """Images that are classified correctly, and who fools them.

    Attributes:
        x: (B, C, H, W) in [0, 1], B at least 1.
        labels: (B,) int64.
        row: (B,) int64, their absolute rows, which their randomness belongs to.
        p: the norm of all attacks, `math.inf`, 2 or 1.
        seed: of all runs, which are told apart by their numbers.
        eight_bit: images shown are those of 8-bit levels.
    """

    x: Tensor
    labels: Tensor
    row: Tensor
    p: float
    seed: int
    eight_bit: bool

    def generators(self, run: int, index: Tensor) -> Generators:
        """The generators of some of the images, (A,) int64, in one of the runs."""
        rows = self.row[index].tolist()
        return [generators(self.seed + RUN * (run + 1), row, 1)[0] for row in rows]

    def ball(self, epsilon: float, index: Tensor) -> Ball:
        """The balls around some of the images, (A,) int64."""
        x = self.x[index]
        x = (x * LEVELS).round() / LEVELS if self.eight_bit else x
        return Ball(x, radii(epsilon, x), self.p, eight_bit=self.eight_bit)

    def fooled(
        self, run: int, method: Method, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        """Find out which images a method fools, by what the network says of what it returns.

        Args:
            run: number of the run.
            method: how to attack.
            epsilon: radius, in pixel units.
            among: (B,) bool, whom to attack; the others count as not fooled. None: all.

        Returns:
            A procedure whose result is (B,) bool.
        """
        fooled = torch.zeros_like(self.labels, dtype=torch.bool)
        (index,) = self._chosen(among).nonzero(as_tuple=True)
        if len(index):
            images = yield from self.attack(run, method, epsilon, index)
            prediction = (yield from on_rows(predict_logits(images), index)).argmax(1)
            fooled[index] = (prediction != self.labels[index]).to(fooled)
        return fooled

    def attack(self, run: int, method: Method, epsilon: float, index: Tensor) -> Procedure[Tensor]:
        """Attack some of the images.

        Args:
            run: number of the run.
            method: how to attack.
            epsilon: radius, in pixel units.
            index: (A,) int64, whom to attack.

        Returns:
            A procedure whose result is what the method returns, (A, C, H, W).
        """
        goal, rows = Untargeted(self.labels[index]), self.generators(run, index)
        search = method.search(self.ball(epsilon, index), goal, rows)
        found = yield from on_rows(search, index)
        return found.images

    def fooled_by_noise(
        self, run: int, epsilon: float, among: Tensor | None = None
    ) -> Procedure[Tensor]:
        """Find out which images some draw of noise fools; those that one fools are shown no more.

        Args:
            run: number of the run.
            epsilon: size of the noise, in pixel units.
            among: (B,) bool, whom to show; the others count as not fooled. None: all.

        Returns:
            A procedure whose result is (B,) bool.
        """
        fooled = torch.zeros_like(self.labels, dtype=torch.bool)
        (left,) = self._chosen(among).nonzero(as_tuple=True)
        rows = dict(zip(left.tolist(), self.generators(run, left), strict=True))
        for _ in range(NOISES):
            if not len(left):
                break
            ball = self.ball(epsilon, left)
            noisy = ball.image(ball.noise([rows[i] for i in left.tolist()]))
            prediction = (yield from on_rows(predict_logits(noisy), left)).argmax(1)
            found = (prediction != self.labels[left]).to(fooled)
            fooled[left[found]] = True
            left = left[~found]
        return fooled

    def _chosen(self, among: Tensor | None) -> Tensor:
        return torch.ones_like(self.labels, dtype=torch.bool) if among is None else among
