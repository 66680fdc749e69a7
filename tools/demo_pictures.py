"""The demo's sections on what units see, as pictures that gradient ascent found."""

from statistics import median

import striate
from striate.objective import Objective
from tools import demo_page as page
from tools.demo_stage import TWINS, Stage, worth

INDEXED = ("conv1", "relu", "layer1.1", "layer2.0")
UNITS = [f"{layer}:{unit}" for layer in INDEXED[1:] for unit in (3, 9, 17, 29)]
LAYER = "layer1.1"
FACETED = ("layer1.1:22", "layer2.0:22")
KEPT = 24  # exemplars a unit


def units(stage: Stage) -> page.Section:
    """Twelve units of three depths on each twin, with certificates."""
    images = 0
    for name in TWINS:
        images = (
            stage.service.build_index(name, dataset=stage.scene, layers=list(INDEXED), k=KEPT)
            .wait()
            .images
        )
    section = page.Section(
        "What each unit sees",
        "Twelve channels of three depths, each with the picture that activates it most, found "
        "by gradient ascent from noise, for the "
        "plainly trained network and its adversarially trained twin. Under each stands what it "
        "is worth: its activation over the largest "
        f"on any of the {images} images of “{stage.scene}”, the same under random views that "
        f"no optimization draws, the share of those "
        "images that it exceeds, and the place of the unit among its layer's on this picture.",
    )
    stage.results["visualizations"] = {}
    pictures = []
    for name in TWINS:
        found = stage.net(name).visualize(UNITS, steps=256, seed=0, dataset=stage.scene)
        for unit in found:
            unit.save(stage.out / f"unit-{name}-{unit.objective.replace(':', '-')}.png")
        section.row(name, [(v.png, worth(v)) for v in found])
        stage.results["visualizations"][name] = {v.objective: _figures(v) for v in found}
        pictures += [v.image for v in found]
    page.sheet(pictures, columns=len(UNITS)).save(stage.out / "units.png")
    return section


def classes(stage: Stage) -> page.Section:
    """What each twin takes for the ideal member of each class."""
    section = page.Section(
        "What each class looks like",
        "The same ascent on the ten class logits. Below, with the phase alone free under the "
        "data set's own spectrum (MACO), seen through "
        "where the gradient was weak; and with transparency of its own.",
    )
    pictures = []
    for name in TWINS:
        net = stage.net(name)
        found = net.visualize([f"logits:{i}" for i in range(len(net.classes))], steps=256, seed=0)
        for label, picture in zip(net.classes, found, strict=True):
            picture.save(stage.out / f"class-{name}-{label}.png")
        section.row(name, [(v.png, label) for label, v in zip(net.classes, found, strict=True)])
        pictures += [v.image for v in found]
    page.sheet(pictures, columns=len(pictures) // len(TWINS)).save(stage.out / "classes.png")
    net, chosen = stage.net(TWINS[1]), (0, 1, 4, 7, 8, 9)
    names = [f"logits:{i}" for i in chosen]
    maco = net.visualize(names, parameterization=striate.space.Maco(stage.scene), steps=96)
    alpha = net.visualize(names, alpha=True, steps=96)
    for what, found in ((f"{net.name}, MACO", maco), (f"{net.name}, alpha channel", alpha)):
        section.row(
            what,
            [(v.png, net.classes[i]) for i, v in zip(chosen, found, strict=True)],
            look="clear",
        )
    return section


def layer(stage: Stage) -> tuple[page.Section, striate.LayerPictures]:
    """All units of a layer, as they finish, and their contact sheet."""
    net = stage.net(TWINS[1])
    with net.visualize_layer(LAYER, steps=64, dataset=stage.scene) as pictures:
        pictures.save(stage.out / "layer")
    certificates = [one.visualization.certificate for one in pictures]
    ratios = [one.ratio for one in certificates if one is not None and one.ratio is not None]
    held_out = [
        one.held_out_ratio
        for one in certificates
        if one is not None and one.held_out_ratio is not None
    ]
    stage.results["layer"] = {
        "layer": LAYER,
        "units": len(certificates),
        "ratios": ratios,
        "held_out_ratios": held_out,
    }
    section = page.Section(
        "A whole layer",
        f"All {pictures.total} units of {LAYER} of {net.name} after 64 steps, streamed as they "
        f"finish and kept by the server, as one "
        f"contact sheet. {sum(ratio > 1 for ratio in ratios)} of {len(ratios)} are above the "
        f"largest of “{stage.scene}”, by a median "
        f"factor of {median(ratios):.1f}; under the held-out views "
        f"{sum(ratio > 1 for ratio in held_out)}.",
    )
    sheet = page.enlarged(pictures.sheet, 2)
    section.row(
        f"{LAYER}:*",
        [(page.png(sheet), f"units 0 to {pictures.total - 1}, {pictures.columns} a row")],
        look="large",
    )
    return section, pictures


def facets(stage: Stage) -> tuple[page.Section, list[striate.Facets]]:
    """The different things that single units see."""
    net = stage.net(TWINS[1])
    section = page.Section(
        "The facets of a unit",
        f"The {KEPT} strongest exemplars of two units of {net.name}, clustered by what the "
        f"layer before answers to them: for each cluster "
        "the picture begun at its mean, and the crops of its strongest.",
    )
    stage.results["facets"] = {}
    several = []
    for unit in FACETED:
        found = net.facets(unit, dataset=stage.scene, exemplars=KEPT, steps=64)
        found.save(stage.out / f"facets-{unit.replace(':', '-')}")
        for facet in found:
            pictures = [
                (facet.visualization.png, worth(facet.visualization)),
                *((png, "") for png in facet.crop_pngs),
            ]
            section.row(f"{unit}, {facet.share:.0%} of its exemplars", pictures)
        stage.results["facets"][unit] = {
            "silhouette": found.silhouette,
            "shares": [one.share for one in found],
        }
        several.append(found)
    return section, several


def composed(stage: Stage) -> page.Section:
    """Objectives that are sums, paths between two, and likenesses of an image."""
    net, image = stage.net(TWINS[1]), stage.clearest
    truck, horse, cat, dog = (
        f"logits:{net.classes.index(label)}" for label in ("truck", "horse", "cat", "dog")
    )
    path = striate.interpolate(truck, horse, 5)
    sums = [cat, f"{cat} - {dog}", dog, f"{cat} + {dog}"]
    likes: list[Objective] = [
        striate.Like(image, "layer1.1", "inversion"),
        striate.Like(image, "layer2.0", "caricature"),
        striate.Like(image, "layer1.1", "style"),
    ]
    found = net.visualize((*path, *sums, *likes), steps=96)
    found.save(stage.out / "composed")
    section = page.Section(
        "Objectives compose",
        f"With + - and numbers, on {net.name}: from truck to horse in five pictures; cat, cat "
        f"less dog, dog, and both; an image by what a "
        "layer keeps of it (inversion), by that exaggerated (caricature), and by its texture "
        "alone (style).",
    )
    names = [
        "truck",
        *(f"{share:g} truck + {1 - share:g} horse" for share in (0.75, 0.5, 0.25)),
        "horse",
    ]
    section.row("interpolation", [(v.png, name) for v, name in zip(found[:5], names, strict=True)])
    section.row(
        "sums",
        [
            (v.png, name)
            for v, name in zip(found[5:9], ("cat", "cat - dog", "dog", "cat + dog"), strict=True)
        ],
    )
    shown = page.pngs(net.attack([image], None, striate.FGSM(0), format="png").images)[0]
    section.row(
        "likeness",
        [
            (shown, "image"),
            *((v.png, v.objective.replace("(", "\n").rstrip(")")) for v in found[9:]),
        ],
    )
    return section


def dossier(stage: Stage) -> page.Section:
    """One unit on one page."""
    net = stage.net(TWINS[1])
    found = net.dossier(FACETED[0], dataset=stage.scene, steps=96)
    found.save(stage.out / "dossier.html")
    shift = max(found.logit_shifts, key=lambda one: abs(one.mean))
    stage.results["dossier"] = {"unit": found.unit, "moves_most": shift.label, "by": shift.mean}
    section = page.Section(
        "One unit on one page",
        f"Everything about {FACETED[0]} of {net.name}: pictures, exemplars, histogram, tuning, "
        f"the logits it moves (most of all "
        f"{shift.label}, by {shift.mean:+.2f}), and the units that PGD flips.",
    )
    section.link("dossier.html", f"The dossier of {FACETED[0]}")
    return section


def _figures(picture: striate.Visualization) -> dict[str, float | int | None]:
    certificate = picture.certificate
    assert certificate is not None
    names = (
        "activation",
        "held_out",
        "dataset_maximum",
        "ratio",
        "held_out_ratio",
        "percentile",
        "rank",
        "units",
        "attempts",
    )
    return {name: getattr(certificate, name) for name in names}
