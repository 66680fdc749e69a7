"""Accuracies through Classify on real networks and images, beside the published figures: that what
is hosted is what was trained.
"""

import os

from bench.figure import Figure, Figures
from bench.setting import Setting

_CASES = (  # model, data set, published accuracy
    ("cifar_resnet20", "cifar10-test", 0.810),  # a JPEG copy
    ("cifar_resnet20", "cifar10-lossless", 0.9173),
    ("squeezenet1_1", "imagenet-sample", 0.626),
)


def accuracy(place: Setting) -> Figures:
    """Top-1 accuracy of each case over its whole data set; nothing where STRIATE_DATA is
    not set.
    """
    if not os.environ.get("STRIATE_DATA"):
        return {}
    return {
        f"top-1 of {model} on {dataset} through Classify": Figure(
            _top1(place, model, dataset), known - 0.001, known + 0.001
        )
        for model, dataset, known in _CASES
    }


def _top1(place: Setting, model: str, dataset: str) -> float:
    with place.connect() as service:
        net = service.load(model)
        info = next(d for d in service.datasets(model=model) if d.name == dataset)
        right = 0
        for first in range(0, info.size, 250):
            samples = service.samples(dataset, first=first, count=250)
            found = net.classify([s.encoded for s in samples], k=1)
            right += sum(
                row[0].index == info.class_indices[s.label]
                for row, s in zip(found, samples, strict=True)
                if s.label is not None
            )
        return right / info.size
