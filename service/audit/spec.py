"""What an audit is to do, and how far it is."""

import platform
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp.audit.corruption_error import corruptions_alone
from interp.audit.plan import Plan
from interp.audit.tally import NetworkGate
from service.datasets import Dataset
from service.models.zoo import HostedModel

VERSIONS = {
    **{
        name: version(package)
        for name, package in (
            ("striate", "striate-server"),
            ("torch", "torch"),
            ("torchvision", "torchvision"),
        )
    },
    "numpy": np.__version__,
    "python": platform.python_version(),
}


@dataclass(frozen=True, eq=False)
class AuditSpec:
    """What an audit is to do.

    Attributes:
        models: 1 or more, with the same classes in the same order.
        classes: for each label of the data set the class of the models.
        images: how many of the data set's are judged, from the front of a random order that the
            plan's seed draws.
        confidence: of intervals and gates.
        gates: the audit ends when all are decided, if there are any.
        budget: image-gradients after which the audit ends; 0: none.
        shard: images of a shard.
        checked: the audit checks itself.
        chunk: images of a deterministic pass.
        mce_reference: whose errors are the unit of corruption errors; one of the models, or
            another.
    """

    models: tuple[HostedModel, ...]
    dataset: Dataset
    classes: tuple[int, ...]
    plan: Plan
    images: int
    confidence: float
    gates: tuple[NetworkGate, ...]
    budget: int
    shard: int
    checked: bool
    chunk: int
    mce_reference: HostedModel | None = None

    @property
    def reference_alone(self) -> HostedModel | None:
        """The reference, if it is none of the models: it is shown clean and corrupted images."""
        reference = self.mce_reference
        known = {model.name for model in self.models}
        return None if reference is None or reference.name in known else reference

    @property
    def judged(self) -> tuple[tuple[HostedModel, Plan], ...]:
        """All that are judged, and by which plan: the models, then a reference that is none of
        them.
        """
        alone = [self.reference_alone] if self.reference_alone else []
        return (
            *((model, self.plan) for model in self.models),
            *((model, corruptions_alone(self.plan)) for model in alone),
        )

    @cached_property
    def shards(self) -> list[range]:
        """The places in the order that make up each shard."""
        return [
            range(first, min(first + self.shard, self.images))
            for first in range(0, self.images, self.shard)
        ]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Numbers of the images in the order in which they are judged, (images,)."""
        return np.random.default_rng(self.plan.seed).permutation(len(self.dataset))[: self.images]

    @property
    def facts(self) -> dict[str, Any]:
        """What has to stay the same while the audit runs, by what an error calls it."""
        return {
            **{f"the digest of {model.name}": model.digest for model, _ in self.judged},
            f"the size of {self.dataset.name}": len(self.dataset),
            f"the URI of {self.dataset.name}": self.dataset.uri,
            f"the content of {self.dataset.name}": self.dataset.content,
            **{f"the version of {name}": version for name, version in VERSIONS.items()},
            "the device": self.models[0].network.device.type,
            "the deterministic chunk": self.chunk,
            "what a bad image does": "is left out" if self.dataset.skip_bad else "ends the audit",
        }


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit is: images judged, and left out because they cannot be used, of `total`;
    `seconds_left` is None before there is an estimate.
    """

    images: int
    total: int
    gradients: int
    seconds_left: float | None
    stage: str
    left_out: int = 0
