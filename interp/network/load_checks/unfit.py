"""Modules whose outputs cannot be had, or have no gradients, told by what they are."""

from torch import nn

# What is behind the message of a program that torch.export made for one number of images.
FIXED_BATCH = (
    "; it was exported for that number of images: export it again with a dynamic first axis, "
    "torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim('batch')},))"
)
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")


def unfit(module: nn.Module) -> str | None:
    """Tell why a module cannot be hosted, whatever its images are.

    Args:
        module: in evaluation mode.

    Returns:
        The rest of a sentence that begins with the network's name, with the way on; None where
        nothing speaks against it.
    """
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        return (
            "has tensors without values, on torch's meta device: give it its weights first, as by "
            "load_state_dict(..., assign=True)"
        )
    for name, part in module.named_modules():
        if type(part).__module__.startswith(_QUANTIZED):
            return (
                f"is quantized ({name or 'the whole'} is a {type(part).__name__} of integers), "
                f"which has no gradients: host the network as it was before quantization"
            )
    return None
