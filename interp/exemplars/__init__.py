"""Which images of a data set a layer's units are active on, and how: exact, in one pass, in memory
independent of its size.
"""

from interp.exemplars.activation_summary import ActivationSummary, summarize_activations
from interp.exemplars.crop import crop_rectangle
from interp.exemplars.distribution import (
    BINS,
    LEVELS,
    Distribution,
    order_statistics,
    percentile,
    ranks,
)
from interp.exemplars.layer_statistics import ORDERS, LayerStatistics, RankedBy, order_of
from interp.exemplars.moments import Moments, sparsity
from interp.exemplars.topk import MOST_IDS, TopK

__all__ = [
    "BINS",
    "LEVELS",
    "MOST_IDS",
    "ORDERS",
    "ActivationSummary",
    "Distribution",
    "LayerStatistics",
    "Moments",
    "RankedBy",
    "TopK",
    "crop_rectangle",
    "order_of",
    "order_statistics",
    "percentile",
    "ranks",
    "sparsity",
    "summarize_activations",
]
