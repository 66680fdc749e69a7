"""Data sets by name: numbered images with names and labels, read lazily from a URI.

`schemes` has a row for every type of URI; docs/guides/datasets.md lists them for users.

Every URI but `photo-patches` takes `?classes=` (see `named_classes`). Images come encoded; decoding
them is not done here.
"""

from service.datasets.base import Dataset, DatasetError, Sample, Source, UnknownDataset
from service.datasets.classes import class_indices, named_classes
from service.datasets.embedded import digits, held_out_digits
from service.datasets.registry import Datasets, open_dataset

__all__ = [
    "Dataset",
    "DatasetError",
    "Datasets",
    "Sample",
    "Source",
    "UnknownDataset",
    "class_indices",
    "digits",
    "held_out_digits",
    "named_classes",
    "open_dataset",
]
