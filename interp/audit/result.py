"""What an audit finds out about the images of one shard on one network, as plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]

CLEAN_WRONG = -1  # in place of the least epsilon's index


@dataclass(frozen=True, eq=False)
class Examples:
    """Adversarial images under one threat, one entry an image that was right and is fooled: at the
    least epsilon over all attacks.

    Of attacks that reach the same epsilon the one that the plan names first.
    """

    images: NDArray[
        Any
    ]  # (n, C, H, W) uint8, or float32 in [0, 1] if the audit is not one of 8-bit images
    row: Ints  # (n,) of the audit's order
    attack: Ints  # (n,) index in the plan
    epsilon: Ints  # (n,) index in the threat's epsilons
    prediction: Ints  # (n,)
    norm: NDArray[np.float64]  # (n,) of the perturbation, in the threat's norm and pixel units

    def take(self, index: NDArray[Any]) -> "Examples":
        """A choice of them."""
        return Examples(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def nearest_examples(examples: Sequence[Examples], count: int) -> Examples:
    """Of several shards' examples, at least one, the `count` with the smallest epsilons, and of
    equal ones the first rows.

    What is left of some shards may take their place: the gallery of a whole audit needs no more
    than that at a time.

    Args:
        examples: of several shards, at least one.
        count: how many to keep at most.
    """
    merged = Examples(
        **{
            f.name: np.concatenate([getattr(one, f.name) for one in examples])
            for f in fields(Examples)
        }
    )
    return merged.take(np.lexsort((merged.row, merged.epsilon))[:count])


@dataclass(frozen=True, eq=False)
class ShardResult:
    """The B images of a shard, judged. Lists have one entry a threat, E is the number of its
    epsilons.

    An image that is wrong as it is withstands no noise and counts as fooled from the first epsilon
    on.
    """

    clean: Ints  # (B,) predictions
    noise: Sequence[Bools]  # (E, B) right under random noise as large as the attacks may be
    fooled_at: Sequence[
        NDArray[np.int16]
    ]  # (attacks, B) index of the first epsilon at which the attack succeeded, E if at none
    corrupted: (
        Bools  # (corruptions * severities, B) right, the severities of the first corruption first
    )
    augmented: Bools  # (augmentations, B) right
    gradients: int  # image-gradients
    queries: int  # images asked about without a gradient by searches that use none
    examples: Sequence[Examples]
    failure: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    # (B,) an `interp.attack.unanswered.Failure` each, 0 where the network answers by numbers; what
    # else is said of an image where it does not means nothing. Empty: it always does.
    failed_at: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    # (B,) the step of a search at which that was found, 0 outside of one

    @property
    def answered(self) -> Bools:
        """(B,) on which images the network's answers are numbers."""
        return self.failure == 0 if len(self.failure) else np.ones(len(self.clean), np.bool_)

    def of_answered(self) -> "ShardResult":
        """The same of these images alone, without examples."""
        if (kept := self.answered).all():
            return self
        return replace(
            self,
            clean=self.clean[kept],
            noise=[noise[:, kept] for noise in self.noise],
            fooled_at=[fooled_at[:, kept] for fooled_at in self.fooled_at],
            corrupted=self.corrupted[:, kept],
            augmented=self.augmented[:, kept],
            examples=[],
            failure=self.failure[kept],
            failed_at=self.failed_at[kept],
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays, for a file."""
        named: dict[str, NDArray[Any]] = {
            "clean": self.clean,
            "corrupted": self.corrupted,
            "augmented": self.augmented,
            "cost": np.array([self.gradients, self.queries]),
            "failure": self.failure,
            "failed_at": self.failed_at,
        }
        for number, examples in enumerate(self.examples):
            named |= {
                f"threat{number}.noise": self.noise[number],
                f"threat{number}.fooled_at": self.fooled_at[number],
            }
            named |= {
                f"threat{number}.{f.name}": getattr(examples, f.name) for f in fields(Examples)
            }
        return {name: np.ascontiguousarray(array) for name, array in named.items()}

    @staticmethod
    def read(arrays: Arrays) -> "ShardResult":
        """What gave these `arrays`.

        Raises:
            KeyError: an array is missing.
        """
        threats = [
            f"threat{number}"
            for number in range(sum(name.endswith(".fooled_at") for name in arrays))
        ]
        gradients, queries = arrays["cost"].tolist()
        return ShardResult(
            arrays["clean"],
            [arrays[f"{threat}.noise"] for threat in threats],
            [arrays[f"{threat}.fooled_at"] for threat in threats],
            arrays["corrupted"],
            arrays["augmented"],
            gradients,
            queries,
            [
                Examples(**{f.name: arrays[f"{threat}.{f.name}"] for f in fields(Examples)})
                for threat in threats
            ],
            arrays["failure"],
            arrays["failed_at"],
        )

    def right(self, labels: Ints) -> Bools:
        """(B,) whether the prediction on the clean image is the label."""
        return np.equal(self.clean, labels)

    def least(self, threat: int, labels: Ints) -> Ints:
        """(B,) index of the least epsilon at which any attack fools the image: -1 if it is wrong as
        it is, E if at none.

        Args:
            threat: number of the threat in the plan.
            labels: (B,) int64, the images' classes.
        """
        never = len(self.noise[threat])
        least = np.minimum.reduce(self.fooled_at[threat].astype(np.int64), axis=0, initial=never)
        return np.where(self.right(labels), least, CLEAN_WRONG)
