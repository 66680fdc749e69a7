"""Whether a network gives numbers at all."""

from interp.network.load_checks.one_class import probe_images
from interp.network.network import Network

_LOOKED_AT = 4


def no_numbers(network: Network) -> str | None:
    """Say why a network gives logits that are no numbers.

    Args:
        network: that is looked at, on flat images and noise.

    Returns:
        Words that name the tensors at fault, where there are some; None where each image has a
        largest logit that is a finite number.
    """
    largest = network.logits(probe_images(network.shape)[:_LOOKED_AT]).amax(1)
    if largest.isfinite().all():
        return None
    state = network.module.state_dict()
    wrong = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    where = f"{wrong[0]}{more} of its weights holds values that are" if wrong else "its logits are"
    return (
        f"on flat images or noise it gives no numbers: {where} infinite or not numbers; what asks "
        f"about such images is refused"
    )
