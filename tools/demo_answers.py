"""The demo's sections on what units answer to, what they are made of, and what an answer
hangs on.
"""

import io

import numpy as np
from PIL import Image

import striate
from striate._api.attributions import AttributionName
from striate.results.unit_statistics import histogram_svg
from tools import demo_page as page
from tools.demo_stage import DIGITS, TWINS, Stage

UNITS = [f"{layer}:{unit}" for layer in ("relu", "layer1.1", "layer2.0") for unit in (3, 17)]
SIGNED = "conv1:9"  # before the rectifier, so that its smallest activations say something too
METHODS: tuple[AttributionName, ...] = (
    "saliency",
    "integrated-gradients",
    "smooth-grad",
    "grad-cam",
    "occlusion",
    "lrp",
)
FITTED = 12  # filters shown beside their figures
FEATURE_MAPS = 16


def exemplars(stage: Stage) -> page.Section:
    """The top nine of six units, and one unit by every order."""
    net = stage.net(TWINS[0])
    statistics = net.statistics(SIGNED, dataset=stage.scene)
    assert isinstance(statistics, striate.UnitStatistics)
    section = page.Section(
        "What each unit answers to",
        f"The nine images of “{stage.scene}” ({statistics.images} scanned) on which a unit of "
        f"{net.name} is most active, each cut to the "
        f"unit's receptive field there. Then {SIGNED}, which has no rectifier, by its largest "
        f"and smallest activations, at quantiles of "
        "its maximum, and the histogram of that.",
    )
    stage.results["exemplars"] = {"dataset": stage.scene, "images": statistics.images, "units": {}}
    for unit in UNITS:
        found = net.exemplars(unit, k=9, dataset=stage.scene)
        found.save(stage.out / f"exemplars-{unit.replace(':', '-')}")
        section.row(
            unit, [(e.crop_png, f"{e.activation:.2f} {e.label_name}".strip()) for e in found]
        )
        stage.results["exemplars"]["units"][unit] = [
            {"id": e.id, "activation": e.activation} for e in found
        ]
    for order, what in (("max", "largest"), ("min", "smallest")):
        found = net.exemplars(SIGNED, k=9, dataset=stage.scene, order=order)  # type: ignore[arg-type]
        section.row(f"{SIGNED}, {what}", [(e.crop_png, f"{e.activation:.2f}") for e in found])
    found = net.exemplars(SIGNED, dataset=stage.scene, order="quantile")
    section.row(
        f"{SIGNED}, quantiles",
        [(e.crop_png, f"{e.activation:.2f}\n{e.quantile:.4g} below") for e in found],
    )
    section.markup(f"{SIGNED}, all", histogram_svg(statistics.counts, statistics.span))
    return section


def filters(stage: Stage) -> page.Section:
    """The first layers, sorted; and what Gabor fits and gratings say of the best fitted."""
    section = page.Section(
        "The first layer",
        "The weights of the first convolution, each filter in its own range, mid-gray for "
        "zero, sorted by the orientation of the Gabor "
        "function that fits best. Below, the best fitted of the mostly gray ones, with the "
        "bars' orientation and wavelength by that fit, "
        "and by the gratings that the running layer answers to most; then its tuning curves.",
    )
    pictures = []
    for name in (*TWINS, DIGITS):
        found = stage.net(name).filters(order="orientation")
        found.save(stage.out / f"filters-{name}.png")
        pictures.append((found.png, f"{name}, {found.layer}: {found.weights.shape[0]} filters"))
    section.row("by orientation", pictures, look="large")
    net = stage.net(TWINS[0])
    analysed, tuning = net.filters(analyze=True), net.tuning()
    tuning.save(stage.out / "tuning.png")
    gray = [
        unit for unit, one in enumerate(analysed.analyses) if one.color_share < 0.5
    ]  # as the gratings are
    best = sorted(gray, key=lambda unit: -analysed.analyses[unit].r_squared)[:FITTED]
    best.sort(key=lambda unit: analysed.analyses[unit].orientation)
    scaled = 0.5 + analysed.weights / (
        2 * np.abs(analysed.weights).max(axis=(1, 2, 3), keepdims=True)
    )
    captions = []
    for unit in best:
        fit, measured = analysed.analyses[unit], tuning[unit]
        fitted = (
            f"{unit}: R² {fit.r_squared:.2f}\nfit {fit.orientation:.0f}°, {fit.wavelength:.1f} px"
        )
        captions.append(
            f"{fitted}\ngratings {measured.orientation:.0f}°, {measured.wavelength:.1f} px"
        )
    section.row(
        net.name, list(zip(page.pngs(scaled[best].astype(np.float32)), captions, strict=True))
    )
    section.row(
        "tuning curves",
        [(tuning.png, f"{tuning.layer}: unit, preferred wavelength, selectivity for orientation")],
        look="smooth",
    )
    stage.results["filters"] = {
        "fitted": [analysed.analyses[unit].orientation for unit in best],
        "measured": [tuning[unit].orientation for unit in best],
    }
    return section


def activations(stage: Stage) -> page.Section:
    """The feature maps of an image."""
    net = stage.net(TWINS[0])
    shown = page.pngs(net.attack([stage.clearest], None, striate.FGSM(0), format="png").images)[0]
    section = page.Section(
        "Feature maps",
        f"The {FEATURE_MAPS} units of two layers of {net.name} that are strongest on one "
        f"image, each in its own range, strongest first.",
    )
    pictures = [(page.png(page.enlarged(_decode(shown), 6)), "image")]
    for layer in ("relu", "layer1.1"):
        found = net.activations(stage.clearest, layer, k=FEATURE_MAPS)
        found.save(stage.out / f"activations-{layer}.png")
        pictures.append(
            (
                found.png,
                f"{layer}: units {', '.join(str(one.unit) for one in found.units[:6])}, ...",
            )
        )
    section.row(net.name, pictures, look="large")
    return section


def attributions(
    stage: Stage,
) -> tuple[page.Section, list[tuple[str, bytes, list[striate.Attributions]]]]:
    """Six methods on one image of each network: what is explained, the image, the answers."""
    section = page.Section(
        "What an answer hangs on",
        "One image a network and the logit of the class it names, by six methods: red raises "
        "it, blue lowers it; without a sign, dark to "
        "bright. Where a method promises that its shares add up to the logit's change, by how "
        "much they miss stands below.",
    )
    rows = []
    stage.results["attributions"] = {}
    for name, image in (
        (TWINS[0], stage.clearest),
        (TWINS[1], stage.clearest),
        (DIGITS, stage.clearest_digit),
    ):
        net = stage.net(name)
        shown = page.pngs(net.attack([image], None, striate.FGSM(0), format="png").images)[0]
        found = [net.attribute(image, method) for method in METHODS]
        label = found[0].labels[0]
        overlays = [(one.overlay_pngs[0], _delta(one)) for one in found]
        section.row(f"{name}: {label}", [(shown, "image"), *overlays])
        stage.results["attributions"][name] = [one.summary() for one in found]
        rows.append((f"{name}: {label}", shown, found))
    return section, rows


def _delta(found: striate.Attributions) -> str:
    return (
        found.method if found.deltas is None else f"{found.method}\nmisses by {found.deltas[0]:.2g}"
    )


def _decode(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded))
