"""Whether the answer for an image depends on the company that it shares a pass with."""

from torch import Tensor, nn

from interp.network.load_checks.agreement import agree, layers_agree
from interp.network.load_checks.layer_trace import LayerTrace, trace_layers


def rows_depend_on_company(alone: LayerTrace, together: LayerTrace) -> bool:
    """Whether the logits of an image depend on the images that it shares a pass with.

    Args:
        alone: of one image.
        together: of several, of which that image is the last.
    """
    return not agree(together.logits[-1:], alone.logits)


def company_doubt(
    module: nn.Module,
    modules: dict[str, nn.Module],
    images: Tensor,
    alone: LayerTrace,
    together: LayerTrace,
) -> str:
    """Say why an image alone is not answered as in a batch.

    Args:
        module: maps images to logits.
        modules: its parts by dotted name.
        images: (B, C, H, W) as the module takes them.
        alone: of the last image.
        together: of all images.

    Returns:
        a sentence that names the first layer that differs, or says that the network draws random
        numbers; "" where both answers are the same but for rounding.
    """
    if not rows_depend_on_company(alone, together):
        return ""
    again = trace_layers(module, modules, images, seed=1)
    if not agree(again.logits, together.logits):
        return "the logits of one and the same image change from pass to pass: it is random"
    first = next((name for name in alone.samples if _differs(name, alone, together)), None)
    place = "" if first is None else f", from layer {first} ({type(modules[first]).__name__}) on"
    return (
        f"the logits of an image depend on the other images of its pass{place}: results change "
        f"with what is asked for at the same time, and with the number of images"
    )


def _differs(name: str, alone: LayerTrace, together: LayerTrace) -> bool:
    sample = together.samples.get(name)
    return sample is not None and not layers_agree(sample[-1:], alone.samples[name])
