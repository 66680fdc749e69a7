"""Which layers have one row for each image."""

from interp.network.load_checks.agreement import layers_agree
from interp.network.load_checks.company import rows_depend_on_company
from interp.network.load_checks.layer_trace import LayerTrace


def layers_of_other_axes(alone: LayerTrace, together: LayerTrace) -> dict[str, str]:
    """Find the layers whose outputs do not have a row for each image.

    Args:
        alone: of one image.
        together: of several, of which that image is the last.

    Returns:
        layer -> a clause that says why, in the order of `alone`: the first axis is not the batch
        (windows, patches, sequence first), or the row of an image holds what belongs to others.
        Where the logits depend on the company already, a layer's rows are not held against it.
    """
    compare = not rows_depend_on_company(alone, together)
    reasons = {name: _reason(name, alone, together, compare) for name in alone.shapes}
    return {name: reason for name, reason in reasons.items() if reason}


def _reason(name: str, alone: LayerTrace, together: LayerTrace, compare: bool) -> str:
    count = together.images
    calls, several_calls = alone.calls[name], together.calls.get(name, 0)
    if calls != several_calls:
        return f"it is called {calls} times for one image, but {several_calls} times for {count}"
    one, several = alone.shapes[name], together.shapes[name]
    if one[:1] != (1,) or several[:1] != (count,):
        rows = (str(shape[0]) if shape else "no" for shape in (one, several))
        return (
            f"its first axis is not the batch: {next(rows)} rows for one image, {next(rows)} "
            f"for {count}"
        )
    if one[1:] != several[1:]:
        return f"its shape depends on the batch: {one[1:]} for one image, {several[1:]} for {count}"
    if compare and not layers_agree(together.samples[name][-1:], alone.samples[name]):
        return "its rows mix images: what it gives to an image alone is not its row in a batch"
    return ""
