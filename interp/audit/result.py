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
NOWHERE = -1  # in place of a threat's number


@dataclass(frozen=True, eq=False)
class Examples:
    """Adversarial images under one threat, one entry an image that was right and is fooled: at the
    least epsilon over all that the audit asked the network about, whichever part did.

    Of those of the same epsilon it is that of the threat's own attack that the plan names first,
    and else what was met first.
    """

    images: NDArray[
        Any
    ]  # (n, C, H, W) uint8, or float32 in [0, 1] if the audit is not one of 8-bit images
    row: Ints  # (n,) of the audit's order
    finder: Ints  # (n,) which part of the audit met it, index in `interp.audit.findings.finders`
    under: Ints  # (n,) number of the threat under which that part searched, NOWHERE if under none
    epsilon: Ints  # (n,) index in the threat's epsilons
    prediction: Ints  # (n,)
    norm: NDArray[np.float64]  # (n,) of the perturbation, in the threat's norm and pixel units

    def take(self, index: NDArray[Any]) -> "Examples":
        """A choice of them."""
        return Examples(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays, for a file."""
        return {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}

    @staticmethod
    def read(arrays: Arrays, prefix: str) -> "Examples":
        """What gave these `arrays`, their names behind a `prefix`.

        Raises:
            KeyError: an array is missing.
        """
        return Examples(**{f.name: arrays[prefix + f.name] for f in fields(Examples)})

    def by_row(self) -> "Examples":
        """The same by rising row."""
        return self.take(np.argsort(self.row, kind="stable"))


def joined(examples: Sequence[Examples]) -> Examples:
    """Put examples one after the other.

    Args:
        examples: at least one.
    """
    return Examples(
        **{
            f.name: np.concatenate([getattr(one, f.name) for one in examples])
            for f in fields(Examples)
        }
    )


def nearest_examples(examples: Sequence[Examples], count: int) -> Examples:
    """Of several shards' examples, at least one, the `count` with the smallest epsilons, and of
    equal ones the first rows.

    What is left of some shards may take their place: the gallery of a whole audit needs no more
    than that at a time.

    Args:
        examples: of several shards, at least one.
        count: how many to keep at most.
    """
    merged = joined(examples)
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
    worst_at: Sequence[
        NDArray[np.int16]
    ]  # (B,) index of the first epsilon whose ball holds a misclassified image that any part of
    # the audit met, E if none does; at most the least of fooled_at
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

    def of_answered(self, first_row: int) -> "ShardResult":
        """The same of these images alone; examples keep their rows.

        Args:
            first_row: place of the first image in the audit's order.
        """
        if (kept := self.answered).all():
            return self
        return replace(
            self,
            clean=self.clean[kept],
            noise=[noise[:, kept] for noise in self.noise],
            fooled_at=[fooled_at[:, kept] for fooled_at in self.fooled_at],
            worst_at=[worst_at[kept] for worst_at in self.worst_at],
            corrupted=self.corrupted[:, kept],
            augmented=self.augmented[:, kept],
            examples=[one.take(kept[one.row - first_row]) for one in self.examples],
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
                f"threat{number}.worst_at": self.worst_at[number],
            }
            named |= {f"threat{number}.{name}": one for name, one in examples.arrays().items()}
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
            [arrays[f"{threat}.worst_at"] for threat in threats],
            arrays["corrupted"],
            arrays["augmented"],
            gradients,
            queries,
            [Examples.read(arrays, f"{threat}.") for threat in threats],
            arrays["failure"],
            arrays["failed_at"],
        )

    def right(self, labels: Ints) -> Bools:
        """(B,) whether the prediction on the clean image is the label."""
        return np.equal(self.clean, labels)

    def least(self, threat: int, labels: Ints) -> Ints:
        """(B,) index of the least epsilon in whose ball the audit met a misclassified image: -1 if
        it is wrong as it is, E if in none.

        Args:
            threat: number of the threat in the plan.
            labels: (B,) int64, the images' classes.
        """
        return np.where(self.right(labels), self.worst_at[threat].astype(np.int64), CLEAN_WRONG)

    def with_findings(self, found: Sequence[Examples], first_row: int) -> "ShardResult":
        """Count what other parts of the audit met, too.

        Args:
            found: one entry a threat, of any rows of the audit.
            first_row: place of the first image in the audit's order.

        Returns:
            The same, where images of a smaller epsilon were met with these in place of its own.
        """
        worst_at, examples = [], []
        for number, more in enumerate(found):
            least, place = self.worst_at[number].copy(), more.row - first_row
            (inside,) = ((place >= 0) & (place < len(least))).nonzero()
            nearer = inside[more.epsilon[inside] < least[place[inside]]]
            own = ~np.isin(self.examples[number].row, more.row[nearer])
            least[place[nearer]] = more.epsilon[nearer]
            worst_at.append(least)
            examples.append(joined([self.examples[number].take(own), more.take(nearer)]))
        return replace(self, worst_at=worst_at, examples=[one.by_row() for one in examples])
