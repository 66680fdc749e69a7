"""A report as an audit writes it: two networks, two threats, corruptions, augmentations, checks and
gates, with true intervals.
"""

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from interp.audit.statistics import anytime, clopper_pearson
from service.report import Example, condition, magnified

CONFIDENCE = 0.95
IMAGES = 512
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GRIDS = {"linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255), "l2": (0.125, 0.25, 0.5, 1.0)}
ATTACKS = ("FGSM", "PGD-40", "APGD-CE")
CORRUPTIONS = (
    *(
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
    ),
    *(
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    ),
)
AUGMENTATIONS = (
    "rotation",
    "translation",
    "scaling",
    "shear",
    "mirroring",
    "cropping",
    "noise",
    "lighting",
    "elastic",
)
CHECKS = (
    (
        "iterative-beats-single-step",
        "PGD-40 leaves 0 images robust that FGSM fools.",
        "Carlini et al. 2019, section 5.2",
    ),
    (
        "monotone-in-epsilon",
        "Accuracy falls or stays from each of 4 radii to the next.",
        "Carlini et al. 2019, section 5.3",
    ),
    ("huge-epsilon", "At epsilon 0.5 accuracy is 0 of 64.", "Carlini et al. 2019, section 5.3"),
    ("zero-gradients", "Gradients vanish on 0.2% of the images.", "Croce et al. 2021, section 4"),
    (
        "randomness",
        "Two forward passes agree on all 64 images.",
        "Carlini et al. 2019, section 4.3",
    ),
)


@cache
def bounds(successes: int, trials: int) -> tuple[float, float]:
    """The exact interval."""
    low, high = clopper_pearson(successes, trials, CONFIDENCE)
    return float(low), float(high)


def rate(successes: int, trials: int) -> dict[str, Any]:
    """A rate with its interval."""
    low, high = bounds(successes, trials)
    return {
        "successes": successes,
        "trials": trials,
        "value": successes / trials if trials else None,
        "low": low,
        "high": high,
    }


def of(share: float, trials: int = IMAGES) -> dict[str, Any]:
    """The rate nearest to a share."""
    return rate(round(share * trials), trials)


def threat(norm: str, clean: float, scale: float) -> dict[str, Any]:
    """Accuracies that fall from `clean` at a pace of `scale` in units of the grid's end, each
    attack a little stronger than the last.
    """
    grid = GRIDS[norm]
    at = np.array(grid) / grid[-1]
    middle = grid[1] if scale < 0.5 else None
    strengths = {"FGSM": 0.75, "PGD-40": 1.0, "APGD-CE": 1.04}
    return {
        "norm": norm,
        "epsilons": list(grid),
        "noise": [of(clean * (1 - 0.06 * share)) for share in at],
        "attacks": [
            {
                "name": label.split("-")[0].lower(),
                "label": label,
                "robust": [
                    of(clean * np.exp(-((strengths[label] * share / scale) ** 1.4))) for share in at
                ],
            }
            for label in ATTACKS
        ],
        "worst": [of(clean * np.exp(-((1.06 * share / scale) ** 1.4))) for share in at],
        "minimal_epsilon": {
            "median": middle,
            "quantiles": [[0.1, 0.0], [0.25, grid[0]], [0.5, middle], [0.75, None], [0.9, None]],
        },
        "found_by": [{"finder": "PGD-40", "images": 61}, {"finder": "checks", "images": 2}],
    }


def network(name: str, clean: float, scale: float, failed: str = "") -> dict[str, Any]:
    """One network's part of the report."""
    wobble = [((7 * index + len(name)) % 10 - 4.5) / 45 for index in range(10)]
    corrupted: list[dict[str, Any]] = [
        {
            "name": label,
            "severity": severity,
            "accuracy": of(clean * (1 - (0.02 + 0.011 * (place * 5 % 13)) * severity)),
        }
        for place, label in enumerate(CORRUPTIONS)
        for severity in range(1, 6)
    ]
    return {
        "name": name,
        "digest": (f"{len(name):x}" + "3fa9c1d27b") * 5
        + "0" * (64 - 5 * (10 + len(f"{len(name):x}"))),
        "gradients": 123_456,
        "queries": 7_890,
        "verdict": "suspect" if failed else "valid",
        "clean": of(clean),
        "threats": [threat("linf", clean, scale), threat("l2", clean, scale * 1.3)],
        "classes": [
            {
                "index": index,
                "name": label,
                "clean": of(clean + wobble[index], 51),
                "worst": [
                    {
                        "condition": condition(norm, grid[-1]),
                        "rate": of(max(clean * scale * 0.6 + wobble[index], 0), 51),
                    }
                    for norm, grid in GRIDS.items()
                ],
            }
            for index, label in enumerate(CLASSES)
        ],
        "corruptions": corrupted,
        "corruption_error": None,
        "mean_corruption_accuracy": sum(item["accuracy"]["successes"] for item in corrupted)
        / (75 * IMAGES),
        "augmentations": [
            {"name": label, "accuracy": of(clean - 0.02 * (place % 5))}
            for place, label in enumerate(AUGMENTATIONS)
        ],
        "checks": [
            {
                "name": label,
                "status": "failed" if label == failed else "passed",
                "evidence": evidence,
                "source": source,
            }
            for label, evidence, source in CHECKS
        ]
        + [
            {
                "name": "doubled-steps",
                "status": "skipped",
                "evidence": "No attack has steps to double.",
                "source": "Croce & Hein 2020, section 3",
            }
        ],
    }


def gate(
    network: str, at: str, bar: float, verdict: str, measured: dict[str, Any], after: int
) -> dict[str, Any]:
    """One gate."""
    return {
        "network": network,
        "condition": at,
        "bar": bar,
        "confidence": CONFIDENCE,
        "verdict": verdict,
        "decided_after": after,
        "rate": measured,
    }


def example() -> dict[str, Any]:
    """The report, built anew."""
    networks = [network("cifar10-plain", 0.861, 0.11), network("cifar10-robust", 0.643, 1.25)]
    low, high = anytime(150, 320, CONFIDENCE)
    open_rate = {
        "successes": 150,
        "trials": 320,
        "value": 150 / 320,
        "low": float(low),
        "high": float(high),
    }
    worst = {item["name"]: item["threats"][0]["worst"][-1] for item in networks}
    attacks = [
        {"name": "fgsm", "label": "FGSM", "loss": "cross-entropy", "random_start": False},
        {
            "name": "pgd",
            "label": "PGD-40",
            "steps": 40,
            "step": 2 / 255,
            "random_start": True,
            "restarts": 1,
            "loss": "cross-entropy",
            "decay": None,
        },
        {
            "name": "apgd",
            "label": "APGD-CE",
            "steps": 100,
            "momentum": 0.75,
            "rho": 0.75,
            "restarts": 1,
            "loss": "cross-entropy",
        },
    ]
    return {
        "schema": "striate.audit/1",
        "versions": {
            "striate": "0.1.0",
            "torch": "2.11.0",
            "torchvision": "0.26.0",
            "numpy": "2.4.6",
            "python": "3.11.9",
        },
        "verdict": "valid",
        "complete": True,
        "stopped": None,
        "images": IMAGES,
        "dataset": {
            "name": "test",
            "uri": "parquet:cifar10/test-*.parquet",
            "size": 10_000,
            "first_row": 0,
            "images": IMAGES,
            "order": "random, seed 0",
            "classes": list(CLASSES),
        },
        "settings": {
            "seed": 0,
            "confidence": CONFIDENCE,
            "interval": "clopper-pearson",
            "fixed_n_interval": None,
            "eight_bit": True,
            "shard_images": 64,
            "deterministic_chunk": 8,
            "budget_gradients": 0,
            "attacks": attacks,
            "threats": [{"norm": norm, "epsilons": list(grid)} for norm, grid in GRIDS.items()],
            "corruptions": list(CORRUPTIONS),
            "severities": [1, 2, 3, 4, 5],
            "augmentations": list(AUGMENTATIONS),
            "magnitudes": [15.0, 0.1, 0.2, 10.0, 1.0, 0.125, 0.05, 0.3, 0.02],
        },
        "networks": networks,
        "comparisons": [
            {
                "first": "cifar10-plain",
                "second": "cifar10-robust",
                "condition": "clean",
                "only_first": 131,
                "only_second": 19,
                "p_value": 3.7e-22,
                "holm_p_value": 7.4e-22,
            },
            {
                "first": "cifar10-plain",
                "second": "cifar10-robust",
                "condition": "linf:8/255",
                "only_first": 0,
                "only_second": 149,
                "p_value": 2.8e-45,
                "holm_p_value": 8.4e-45,
            },
            {
                "first": "cifar10-plain",
                "second": "cifar10-robust",
                "condition": "corruptions",
                "only_first": 2101,
                "only_second": 2044,
                "p_value": 0.385,
                "holm_p_value": 0.385,
            },
        ],
        "mce_reference": None,
        "gates": [
            gate("cifar10-plain", "linf:8/255", 0.30, "fail", worst["cifar10-plain"], 11),
            gate("cifar10-robust", "linf:8/255", 0.25, "pass", worst["cifar10-robust"], 448),
            gate("cifar10-robust", "clean", 0.45, "open", open_rate, 320),
        ],
    }


def small(report: dict[str, Any] | None = None) -> dict[str, Any]:
    """The example, or another report, with two items of each long list, which is quick to read and
    to validate.
    """
    report = example() if report is None else report
    for network in report["networks"]:
        network |= {name: network[name][:2] for name in ("classes", "corruptions", "augmentations")}
    return report


def sequential() -> dict[str, Any]:
    """The same audit, as one that might have ended early and came to its last image: all rates
    have intervals that hold at all times, and those of a fixed number of images beside them.
    """

    def both(value: Any) -> Any:
        if isinstance(value, list):
            return [both(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "successes" not in value:
            return {key: both(item) for key, item in value.items()}
        low, high = anytime(value["successes"], value["trials"], CONFIDENCE)
        fixed_n = {"low": value["low"], "high": value["high"]}
        return value | {"low": float(low), "high": float(high), "fixed_n": fixed_n}

    report: dict[str, Any] = both(example())
    report["settings"] |= {"interval": "anytime", "fixed_n_interval": "clopper-pearson"}
    for item, p in zip(report["comparisons"], (1e-20, 2e-43, 1.0), strict=True):
        item |= {"anytime_p_value": p, "anytime_holm_p_value": min(2 * p, 1.0)}
    return report


def referenced(audited: bool = False) -> dict[str, Any]:
    """The same audit with corruption errors beside those of a reference: undefined in two
    corruptions, in the second of them the relative one alone.
    """
    report = example()
    for place, one in enumerate(report["networks"]):
        errors: list[dict[str, Any]] = [
            {"name": name, "ce": 0.8 + 0.1 * place, "relative_ce": 0.7, "undefined": None}
            for name in CORRUPTIONS
        ]
        errors[0] |= {"ce": None, "relative_ce": None, "undefined": "both are undefined: no error"}
        errors[1] |= {"relative_ce": None, "undefined": "relative CE is undefined: none is added"}
        one["corruption_error"] = {
            "mce": 0.8123 + 0.1 * place,
            "mce_over": 14,
            "relative_mce": -0.0456,
            "relative_mce_over": 13,
            "corruptions": errors,
        }
    name = "cifar10-plain" if audited else "alexnet"
    report["mce_reference"] = {
        "name": name,
        "digest": "c" * 64,
        "doubt": "its answers wobble",
        "audited": audited,
        "clean": of(0.5),
        "corruptions": report["networks"][0]["corruptions"],
    }
    return report


def suspect() -> dict[str, Any]:
    """The same audit, stopped by its budget, with a check of one network failed."""
    report = example()
    report["networks"][0] = network("cifar10-plain", 0.861, 0.11, failed="zero-gradients")
    return report | {"verdict": "suspect", "complete": False, "stopped": "budget", "images": 320}


def png(pixels: Any) -> bytes:
    """(H, W, 3) uint8 as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def gallery(count: int = 4) -> list[Example]:
    """Images of waves, perturbed by signs."""
    examples: list[Example] = []
    for number in range(count):
        y, x = np.mgrid[:32, :32] / 32
        waves = [
            0.5 + 0.4 * np.sin(6 * (x * (number + 1 + channel) + y * (3 - channel)))
            for channel in range(3)
        ]
        clean = np.rint(255 * np.stack(waves)).astype(np.uint8)
        signs = np.random.default_rng(number).integers(0, 2, clean.shape) * 2 - 1
        adversarial = (clean.astype(np.int64) + 8 * signs).clip(0, 255).astype(np.uint8)
        perturbation, factor = magnified(clean, adversarial)
        examples.append(
            {
                "network": "cifar10-plain",
                "id": 41 * number,
                "condition": "linf:8/255",
                "attack": "PGD-40",
                "label": CLASSES[number],
                "clean_prediction": CLASSES[number],
                "prediction": CLASSES[number + 5],
                "norm": 8 / 255,
                "clean_png": png(clean.transpose(1, 2, 0)),
                "perturbation_png": perturbation,
                "adversarial_png": png(adversarial.transpose(1, 2, 0)),
                "magnification": factor,
            }
        )
    return examples
