"""Networks of two classes that have one output an image: a logit z, or the probability sigmoid(z).

They are hosted as networks of the two logits (0, z), whose softmax is (1 - sigmoid(z), sigmoid(z)).
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.network.hooks import forward_hooks
from interp.network.load_checks.outputs import LogitsPath, find_logits

READ_BACK = (
    "the network ends in a sigmoid that is a function and no module: its logit is read back from "
    "the probability, which is 0 or 1 to all digits beyond |z| of about 16; there the gradient is "
    "zero, and attacks find nothing; return z itself, or end in a torch.nn.Sigmoid module"
)
LIKE_PROBABILITIES = (
    "every output that was tried lies between 0 and 1, and no sigmoid is seen that it comes from: "
    "it is taken for the logit z, which gives the second label more than half everywhere; return "
    "z, or end in a sigmoid, if it is a probability"
)
_READERS: dict[tuple[type[nn.Module], LogitsPath, bool, bool], type[nn.Module]] = {}
_SHAPING = ("View", "Reshape", "Squeeze", "Unsqueeze", "Select", "Slice", "Alias", "Flatten", "T")


def with_two_logits(module: nn.Module, images: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    """Make a network of one output a network of the two logits (0, z).

    Where the network ends in a `torch.nn.Sigmoid` module z is what that module is given, exactly;
    where it ends in another sigmoid, the logit of its output.

    Args:
        module: gives (B, 1) or (B,) to normalized images, as a tensor or in something in which
            `interp.network.load_checks.outputs` finds it. It is put into eval mode.
        images: (B, C, H, W) normalized images of many kinds, B at least 2; they are brought to the
            device and dtype of its first parameter.

    Returns:
        The network with parts of the same names that gives (B, 2), and doubts about it. The module
        itself, and none, where it has not one output.
    """
    first = next(module.parameters(), None)
    images = images if first is None else images.to(first)
    output, ends_in_sigmoid, last = _run(module.eval(), images)
    flat = isinstance(output, Tensor) and output.ndim == 1 and len(output) == len(images)
    try:
        path = LogitsPath() if flat else find_logits(output, len(images))
    except ValueError:
        return module, ()  # which is refused later, in words
    found = path.of(output)
    if not flat and found.shape[1] != 1:
        return module, ()
    if last is not None:
        twin = _reading(_without(module, last), path, flat, False)
        with torch.no_grad():
            z = twin(images)[:, 1]
        if torch.allclose(z.sigmoid(), found.flatten(), atol=1e-6):
            return twin, ()
    if ends_in_sigmoid:
        return _reading(module, path, flat, True), (READ_BACK,)
    outside = bool(((found < 0) | (found > 1)).any())
    return _reading(module, path, flat, False), () if outside else (LIKE_PROBABILITIES,)


def _run(module: nn.Module, images: Tensor) -> tuple[object, bool, str | None]:
    """What a network gives to images, whether it comes of a sigmoid, and the name of the module
    whose output it is, if that is a `torch.nn.Sigmoid`.
    """
    sigmoids: dict[str, nn.Module] = {
        name: part for name, part in module.named_modules() if isinstance(part, nn.Sigmoid) and name
    }
    outputs: dict[str, Tensor] = {}
    with torch.enable_grad(), forward_hooks(sigmoids, outputs.__setitem__):
        # a leaf must not be changed in place, which a network may do to its input
        output = module(images.detach().requires_grad_().clone())
    logits = _only_tensor(output, len(images))
    if logits is None:
        return output, False, None
    same = (name for name, value in outputs.items() if value.data_ptr() == logits.data_ptr())
    return _detached(output), _comes_of_sigmoid(logits), next(same, None)


def _only_tensor(output: object, images: int) -> Tensor | None:
    if isinstance(output, Tensor) and output.ndim == 1:
        return output
    try:
        return find_logits(output, images).of(output)
    except ValueError:
        return None


def _detached(output: object) -> object:
    return output.detach() if isinstance(output, Tensor) else output


def _comes_of_sigmoid(values: Tensor) -> bool:
    """Whether values are those of a sigmoid, of which only the shape was changed since."""
    node = values.grad_fn
    while node is not None and node.name().startswith(_SHAPING) and node.next_functions:
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("Sigmoid")


def _without(module: nn.Module, name: str) -> nn.Module:
    """A copy of a module, with the very same parts but for one, in whose place stands an
    identity.
    """
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    first, _, rest = name.partition(".")
    part = twin._modules[first]
    assert part is not None
    twin._modules[first] = _without(part, rest) if rest else nn.Identity().eval()
    return twin


def _reading(module: nn.Module, path: LogitsPath, flat: bool, probability: bool) -> nn.Module:
    """The module as one of a class derived from its own that returns (0, z), (B, 2)."""
    twin = copy.copy(module)
    twin.__class__ = _reader(type(module), path, flat, probability)
    return twin


def _reader(
    kind: type[nn.Module], path: LogitsPath, flat: bool, probability: bool
) -> type[nn.Module]:
    key = kind, path, flat, probability
    if key not in _READERS:
        run: Callable[[nn.Module, Tensor], object] = kind.forward

        def forward(self: nn.Module, x: Tensor) -> Tensor:
            z = path.of(run(self, x))
            z = z.unsqueeze(1) if flat else z
            z = torch.logit(z, eps=torch.finfo(z.dtype).eps) if probability else z
            return F.pad(z, (1, 0))

        _READERS[key] = type(kind.__name__, (kind,), {"forward": forward})
    return _READERS[key]
