"""Attributions: how much every pixel has to do with a class, or with a unit of any layer.

Methods that ask for nothing but scores and gradients are procedures (`gradients`, `occlusion`).
Those that need hooks inside the network run on a private copy of it (`backward`, to be imported by
its own name: captum takes seconds to load). All are with respect to pixels in [0, 1]: the network's
normalization lies inside.
"""

from interp.attribution.copies import check_source as check_source
from interp.attribution.copies import sources as sources
from interp.attribution.gradients import ROWS as ROWS
from interp.attribution.gradients import input_x_gradient as input_x_gradient
from interp.attribution.gradients import integrated_gradients as integrated_gradients
from interp.attribution.gradients import saliency as saliency
from interp.attribution.gradients import smooth_grad as smooth_grad
from interp.attribution.occlusion import occlusion as occlusion
from interp.attribution.result import Attributed as Attributed
from interp.attribution.result import Explain as Explain
from interp.attribution.result import Unexplainable as Unexplainable
