"""The demo's section on what fools a network: FGSM and PGD at several epsilons beside equal-norm
noise.
"""

import numpy as np
from numpy.typing import NDArray

import striate
from tools import demo_page as page
from tools.demo_stage import DIGITS, Stage

EPSILONS = (1, 2, 4, 8)  # levels of 255
DIGIT_EPSILONS = (8, 16, 32, 64)  # strokes are coarser than textures
SHOWN = 16  # images attacked on the page
MEASURED = 128  # images behind a rate


def attacks(stage: Stage, name: str, dataset: str) -> page.Section:
    """Pictures of 16 images under attack, rates over 128."""
    net = stage.net(name)
    info = next(d for d in stage.service.datasets(model=name) if d.name == dataset)
    # A data set may be sorted by class: both the images measured and the first of them, which are
    # shown, come from all parts.
    spread = stage.spread(dataset, MEASURED)
    samples = sorted(spread, key=lambda sample: spread.index(sample) % (MEASURED // SHOWN))
    labels = (
        [info.class_indices[s.label] for s in samples if s.label is not None]
        if info.labelled
        else None
    )
    what = (
        "true labels"
        if labels
        else "the network's own predictions as labels, for want of true ones"
    )
    section = page.Section(
        f"What fools {name}",
        f"{SHOWN} of {len(samples)} images of “{dataset}”, {what}. Noise: random signs of "
        f"the same size on the same images.",
    )
    images = [s.encoded for s in samples]
    clean = net.attack(
        images[:SHOWN], None, striate.FGSM(0), format="png"
    ).images  # as the network sees them
    epsilons = DIGIT_EPSILONS if name == DIGITS else EPSILONS
    for levels in epsilons:
        found = {}
        for kind, attack in (
            ("FGSM", striate.FGSM(levels / 255)),
            ("PGD", striate.PGD(levels / 255, steps=20)),
        ):
            found[kind] = net.attack(
                images, labels, attack, seed=0, noise_control=True, format="png"
            )
            found[kind].save(stage.out / f"{kind.lower()}-{name}-{levels}")
            _rate(stage, name, dataset, levels, found[kind], bool(labels))
        if levels in epsilons[1::2]:
            _attack_rows(section, net, found, clean, levels)
    section.table(page.rates([r for r in stage.results["rates"] if r["model"] == name]))
    return section


def _rate(
    stage: Stage,
    name: str,
    dataset: str,
    levels: int,
    found: striate.AttackResult,
    true_labels: bool,
) -> None:
    stage.results["rates"].append(
        {
            "model": name,
            "dataset": dataset,
            "labels": "true" if true_labels else "the network's own predictions",
            "attack": type(found.attack).__name__,
            "epsilon": f"{levels}/255",
            "images": len(found),
            "clean_accuracy": found.clean_accuracy,
            "robust_accuracy": found.robust_accuracy,
            "noise_robust_accuracy": found.noise_robust_accuracy,
            "gradients": found.gradients,
        }
    )


def _attack_rows(
    section: page.Section,
    net: striate.Model,
    found: dict[str, striate.AttackResult],
    clean: NDArray[np.float32],
    levels: int,
) -> None:
    pgd = found["PGD"]
    assert pgd.noise_predictions is not None
    truth = [net.classes[i] for i in pgd.labels[:SHOWN]]
    section.row("clean", list(zip(page.pngs(clean), truth, strict=True)))
    shown = [
        (f"{kind} {levels}/255", result.images[:SHOWN], result.predictions)
        for kind, result in found.items()
    ]
    shown.append((f"noise {levels}/255", page.noisy(clean, levels / 255), pgd.noise_predictions))
    for name, pixels, predictions in shown:
        says = [net.classes[i] for i in predictions[:SHOWN]]
        section.row(
            name,
            list(zip(page.pngs(pixels), says, strict=True)),
            [a != b for a, b in zip(says, truth, strict=True)],
        )
    magnified = np.clip(0.5 + (pgd.images[:SHOWN] - clean) * (255 / levels) / 2, 0, 1).astype(
        np.float32
    )
    section.row("PGD's change, magnified", [(png, "") for png in page.pngs(magnified)])
