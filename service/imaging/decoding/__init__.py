"""Work with pixels, shared fairly: a pool that serves calls in turn, and a budget of what may wait
for it.
"""

from service.imaging.decoding.budget import DecodeLimits, Hold, PixelBudget, PoolBusy
from service.imaging.decoding.fair_pool import LARGE, LEAST, FairPool, Piece, ShareCall
from service.imaging.decoding.wanted import Abandoned, check_wanted

__all__ = [
    "LARGE",
    "LEAST",
    "Abandoned",
    "DecodeLimits",
    "FairPool",
    "Hold",
    "Piece",
    "PixelBudget",
    "PoolBusy",
    "ShareCall",
    "check_wanted",
]
