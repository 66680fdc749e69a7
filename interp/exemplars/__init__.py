"""Which images of a data set a layer's units are active on, and how: exact, in one pass, in memory
independent of its size.
"""

from interp.exemplars.crop import crop_rectangle
from interp.exemplars.distribution import BINS, LEVELS, Distribution, percentile, ranks
from interp.exemplars.moments import Moments, sparsity
from interp.exemplars.peaks import Peaks, peaks
from interp.exemplars.shard import ORDERS, Shard
from interp.exemplars.topk import MOST_IDS, TopK

__all__ = [
    "BINS",
    "LEVELS",
    "MOST_IDS",
    "ORDERS",
    "Distribution",
    "Moments",
    "Peaks",
    "Shard",
    "TopK",
    "crop_rectangle",
    "peaks",
    "percentile",
    "ranks",
    "sparsity",
]
