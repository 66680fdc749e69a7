"""Images on which a network's answers are no numbers: they count in no figure of its audit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interp.attack.losses import cross_entropy
from interp.attack.unanswered import FOUND, Failure, Unanswered, failures
from interp.audit.checks.check import LEVEL, TOLERATED, Check, check, excess, probability
from interp.audit.result import Ints, ShardResult
from interp.probe import Probe, Procedure

ANSWERED = "answered"
NAMED = 5  # images, in the evidence of a check
SOURCE = "Carlini et al. 2019, section 4.3: gradients that are no numbers"


def note_unanswered(
    procedure: Procedure[ShardResult], count: int, device: torch.device
) -> Procedure[ShardResult]:
    """Judge a shard, and note the images on which the network's answers are no numbers.

    Args:
        procedure: judges a shard, and has not begun.
        count: images of the shard.
        device: of its images.

    Returns:
        The same procedure; what its result says of such images means nothing.
    """
    unanswered = Unanswered(count, device)
    judged = yield from unanswered.watch(procedure)
    failure, step = unanswered.failure.cpu().numpy(), unanswered.step.cpu().numpy()
    return replace(judged, failure=failure, failed_at=step)


def answered_rows(x: Tensor, labels: Tensor) -> Procedure[Tensor]:
    """Find the images on which logits and the gradient of the cross-entropy are numbers.

    Args:
        x: images (B, C, H, W) in [0, 1].
        labels: (B,) int64, their classes.

    Returns:
        A procedure whose result is their numbers, (A,) int64.
    """
    probe = Probe(x, cross_entropy(labels), logits=True, finite=False)
    found = failures((yield probe), probe)
    return (found == Failure.NONE).nonzero(as_tuple=True)[0].to(x.device)


def failed_images(judged: ShardResult, ids: Ints, names: Sequence[str]) -> Iterator[str]:
    """Name the images of a shard on which the network's answers are no numbers.

    Args:
        judged: the shard on one network.
        ids: (B,) numbers of its images in the data set.
        names: of its images.

    Yields:
        What was found of each, in words.
    """
    for place in (~judged.answered).nonzero()[0].tolist():
        failure, step = Failure(int(judged.failure[place])), int(judged.failed_at[place])
        where = f" at step {step} of a search" if step else ""
        name = f" ({names[place]!r})" if names[place] else ""
        yield f"image {ids[place]}{name}: {FOUND[failure]}{where}"


def check_answered(failed: Sequence[str], images: int) -> Check:
    """Does the network answer by numbers?

    It fails where images that have no answer are more than can be explained if each is one with a
    probability of `TOLERATED`, by an exact binomial test at `LEVEL`.

    Args:
        failed: the images without an answer, in words.
        images: of the audit in all.
    """
    p = excess(len(failed), images)
    more = [f"and {len(failed) - NAMED} more"] if len(failed) > NAMED else []
    evidence = (
        f"{len(failed)} of {images} images have no outcome and count in no figure of this network: "
        f"{'; '.join([*failed[:NAMED], *more])}; {TOLERATED:.0%} are tolerated ({probability(p)})."
    )
    numbers = {"unanswered": len(failed), "trials": images, "p_value": p}
    return check(ANSWERED, p <= LEVEL, evidence, SOURCE, **numbers)
