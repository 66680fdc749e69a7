"""Data sets by name: numbered images with names and labels, read lazily from a URI.

| URI | images |
|---|---|
| `digits` | scikit-learn's handwritten digits; `digits?split=train` or `held-out` is a part |
| `photo-patches` | patches of the photographs that scikit-learn ships, without labels |
| `imagefolder:DIR` | image files; folders inside are classes |
| `parquet:GLOB` | columns image, label, name |
| `webdataset:GLOB` | samples of tar shards |
| `torchvision:NAME` | a torchvision data set; options are its arguments, e.g. `?train=false` |

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
