"""The losses of attacks, one score per row, read off the logits.

A class whose logit is -inf is masked: the losses are those of the network without it.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from interp.layer import LOGITS
from interp.objective import Objective

DLR_SPREAD = 1e-12  # the least divisor of the DLR losses, for logits that tie


def _cross_entropy(activations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    return F.cross_entropy(activations[LOGITS], labels, reduction="none")


def cross_entropy(labels: Tensor) -> Objective:
    """Make the objective -log p(label), which an untargeted attack raises.

    Args:
        labels: (B,) int64.
    """
    return Objective((LOGITS,), _cross_entropy, (labels,))


def _target_probability(activations: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    return -F.cross_entropy(activations[LOGITS], targets, reduction="none")


def target_likelihood(targets: Tensor) -> Objective:
    """Make the objective log p(target), minus the cross-entropy of the target, which a targeted
    attack raises.

    Args:
        targets: (B,) int64.
    """
    return Objective((LOGITS,), _target_probability, (targets,))


def _margin(activations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    logits = activations[LOGITS]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return others - logits.gather(1, labels[:, None]).squeeze(1)


def margin(labels: Tensor) -> Objective:
    """Make the objective "largest other logit minus the label's"; above 0 means misclassified
    (Carlini & Wagner 2017, section IV.A).

    Args:
        labels: (B,) int64.
    """
    return Objective((LOGITS,), _margin, (labels,))


def _target_margin(activations: Mapping[str, Tensor], targets: Tensor) -> Tensor:
    return -_margin(activations, targets)


def target_margin(targets: Tensor) -> Objective:
    """Make the objective "the target's logit minus the largest other"; above 0 means taken for the
    target.

    Args:
        targets: (B,) int64.
    """
    return Objective((LOGITS,), _target_margin, (targets,))


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _target_lead(activations: Mapping[str, Tensor], labels: Tensor, targets: Tensor) -> Tensor:
    logits = activations[LOGITS]
    label, target = _at(logits, labels), _at(logits, targets)
    if (label == -torch.inf).any():
        others = logits.scatter(1, targets[:, None], -torch.inf).amax(1)
        label = torch.where(label == -torch.inf, others, label)
    return target - label


def target_lead(labels: Tensor, targets: Tensor) -> Objective:
    """Make the objective whose zero is the boundary between two classes.

    Args:
        labels: (B,) int64.
        targets: (B,) int64.

    Returns:
        The target's logit minus the label's, per row; in place of a label that is masked stands
        the largest other class.
    """
    return Objective((LOGITS,), _target_lead, (labels, targets))


def _spread(activations: Mapping[str, Tensor], count: int) -> Tensor:
    """(B,) the largest logit minus the mean of the third to the `count`th largest, at least
    `DLR_SPREAD`, which the DLR losses divide by; 1 where so many classes are masked that there are
    fewer.

    Raises:
        ValueError: the network has fewer classes.
    """
    logits = activations[LOGITS]
    if logits.shape[1] < count:
        raise ValueError(
            f"this DLR loss needs a network of at least {count} classes; this one has "
            f"{logits.shape[1]}"
        )
    largest = logits.topk(count, 1)[0]
    spread = (largest[:, 0] - largest[:, 2:].mean(1)).clamp_min(DLR_SPREAD)
    return torch.where(largest[:, -1] == -torch.inf, 1.0, spread)


def _dlr(activations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    return _margin(activations, labels) / _spread(activations, 3)


def dlr(labels: Tensor) -> Objective:
    """Make the difference of logits ratio (Croce & Hein 2020, equation 6), which no scaling or
    shift of logits changes.

    (largest other logit - the label's) / (largest - third largest), the divisor at least
    `DLR_SPREAD`: at least -1, and above 0 exactly for what is misclassified. To score a network of
    fewer than 3 classes raises ValueError.

    Args:
        labels: (B,) int64.
    """
    return Objective((LOGITS,), _dlr, (labels,))


def _dlr_targeted(activations: Mapping[str, Tensor], labels: Tensor, targets: Tensor) -> Tensor:
    return _target_lead(activations, labels, targets) / _spread(activations, 4)


def dlr_targeted(labels: Tensor, targets: Tensor) -> Objective:
    """Make the targeted difference of logits ratio (Croce & Hein 2020, equation 7), raised to lead
    from label to target.

    (target's logit - the label's) / (largest - mean of third and fourth largest), the divisor at
    least `DLR_SPREAD`. To score a network of fewer than 4 classes raises ValueError.

    Args:
        labels: (B,) int64.
        targets: (B,) int64.
    """
    return Objective((LOGITS,), _dlr_targeted, (labels, targets))
