"""The report of an audit as one JSON value, which does not grow with the number of images."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from interp.audit.comparison import comparisons
from interp.audit.conditions import NORMS, condition
from interp.audit.corruption_error import Reference, corruption_errors, mean_errors
from interp.audit.findings import finder_name
from interp.audit.plan import MAGNITUDES, Plan
from interp.audit.statistics import anytime, clopper_pearson
from interp.audit.tally import Sums, Tally

SCHEMA = "striate.audit/1"
PERCENTS = (10, 25, 50, 75, 90)  # quantiles of the minimal epsilon
FIXED_N, ANYTIME = "clopper-pearson", "anytime"
INTERVALS = {FIXED_N: clopper_pearson, ANYTIME: anytime}

Json = dict[str, Any]


class CheckResult(Protocol):
    """What a check of the audit on itself found; the status is "passed", "failed" or "skipped"."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def evidence(self) -> str: ...
    @property
    def source(self) -> str: ...


class AuditedNetwork(NamedTuple):
    """A network that is audited, the SHA-256 of it in hex, and the audit's checks of itself on it:
    none makes it suspect.
    """

    name: str
    digest: str
    checks: Sequence[CheckResult]

    @property
    def verdict(self) -> str:
        """Whether its figures can be believed."""
        sound = self.checks and all(check.status != "failed" for check in self.checks)
        return "valid" if sound else "suspect"


class Rates:
    """Makes rates of counts.

    Args:
        interval: of each, one of `INTERVALS`.
        fixed_n: the interval of a fixed number of images stands beside it.
        confidence: of both.
    """

    def __init__(self, interval: str, fixed_n: bool, confidence: float) -> None:
        self.interval, self.fixed_n, self.confidence = INTERVALS[interval], fixed_n, confidence

    def __call__(self, successes: ArrayLike, trials: ArrayLike) -> list[Json]:
        """One a count, (N,) and (N,) or one for all."""
        k, n = np.broadcast_arrays(np.asarray(successes), np.asarray(trials))
        low, high = self.interval(k, n, self.confidence)
        columns = zip(k.tolist(), n.tolist(), low.tolist(), high.tolist(), strict=True)
        rates: list[Json] = [
            {"successes": k, "trials": n, "value": k / n if n else None, "low": lo, "high": hi}
            for k, n, lo, hi in columns
        ]
        if self.fixed_n:
            low, high = clopper_pearson(k, n, self.confidence)
            for rate, lo, hi in zip(rates, low.tolist(), high.tolist(), strict=True):
                rate["fixed_n"] = {"low": lo, "high": hi}
        return rates

    def one(self, successes: int, trials: int) -> Json:
        """A single rate.

        Args:
            successes: count.
            trials: of so many.
        """
        return self([successes], [trials])[0]


def report(
    tally: Tally,
    networks: Sequence[AuditedNetwork],
    *,
    confidence: float,
    dataset: Mapping[str, Any],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    stopped: str | None = None,
    mce_reference: Reference | None = None,
) -> Json:
    """The report of what was judged.

    Intervals are those of Clopper & Pearson where the number of images was fixed beforehand. An
    audit that may end early because of what it finds, by gates or a budget of gradients, has wider
    ones, which hold at all times at once (`interp.audit.statistics.anytime`); if it has come to its
    last image all the same, that of Clopper & Pearson stands beside each. It misses in at most
    1 - confidence of all audits that are planned so, counting those that end before they show one.

    Args:
        networks: in the tally's order.
        confidence: of the intervals and gates.
        dataset: "images", asked for, and "classes", their names; perhaps "left_out", with the
            "count" of those that could not be used; other facts are passed on.
        settings: what the plan does not know; "budget_gradients" above 0 if there is a budget.
        stopped: "gates", "budget" or None.
        mce_reference: whose errors are the unit of corruption errors: one of the networks, or the
            tally's reference.
    """
    plan = tally.plan
    early = bool(tally.gates or settings.get("budget_gradients") or stopped)
    left_out = dataset.get("left_out", {}).get("count", 0)
    complete = tally.images + left_out == dataset["images"]
    interval, beside = (ANYTIME, complete) if early else (FIXED_N, False)
    rates = Rates(interval, beside, confidence)
    units = _reference_sums(tally, networks, mce_reference)
    verdicts = [subject.verdict for subject in networks]
    return {
        "schema": SCHEMA,
        "versions": dict(versions),
        "verdict": "suspect" if "suspect" in verdicts else "valid",
        "complete": complete,
        "stopped": stopped,
        "images": tally.images,
        "dataset": dict(dataset),
        "settings": {
            **settings,
            **_settings(plan),
            "confidence": confidence,
            "interval": interval,
            "fixed_n_interval": FIXED_N if beside else None,
        },
        "networks": [
            _network(subject, sums, plan, dataset["classes"], rates)
            | {"corruption_error": _corruption_error(plan, sums, units, mce_reference)}
            for subject, sums in zip(networks, tally.sums, strict=True)
        ],
        "comparisons": comparisons(tally, [subject.name for subject in networks], early),
        "gates": _gates(tally, networks, confidence, rates),
        "mce_reference": _reference(tally, units, mce_reference, rates),
    }


def _reference_sums(
    tally: Tally, networks: Sequence[AuditedNetwork], reference: Reference | None
) -> Sums | None:
    """The sums of the reference, which is one of the networks or stands beside them."""
    for subject, sums in zip(networks, tally.sums, strict=True):
        if reference is not None and subject.name == reference.name:
            return sums
    return tally.reference


def _corruption_error(
    plan: Plan, sums: Sums, units: Sums | None, reference: Reference | None
) -> Json | None:
    if units is None or reference is None:
        return None
    return mean_errors(corruption_errors(plan, sums, units, reference.name))


def _reference(
    tally: Tally, units: Sums | None, reference: Reference | None, rates: Rates
) -> Json | None:
    if units is None or reference is None:
        return None
    images = int(units.trials.sum())
    return {
        **reference._asdict(),
        "audited": units is not tally.reference,
        "clean": rates.one(int(units.clean.sum()), images),
        "corruptions": _corruptions(units, tally.plan, rates),
    }


def _settings(plan: Plan) -> Json:
    return {
        "seed": plan.seed,
        "eight_bit": plan.eight_bit,
        "attacks": [
            {**entry.method.settings, "name": entry.method.name, "label": entry.label}
            for entry in plan.attacks
        ],
        "threats": [{"norm": NORMS[p], "epsilons": list(epsilons)} for p, epsilons in plan.threats],
        "corruptions": list(plan.corruptions),
        "severities": list(plan.severities),
        "augmentations": list(plan.augmentations),
        "magnitudes": [MAGNITUDES[name] for name in plan.augmentations],
    }


def _network(
    subject: AuditedNetwork, sums: Sums, plan: Plan, classes: Sequence[str], rates: Rates
) -> Json:
    images = int(sums.trials.sum())
    looked = images * len(sums.corrupted)
    return {
        "name": subject.name,
        "digest": subject.digest,
        "gradients": sums.gradients,
        "queries": sums.queries,
        "verdict": subject.verdict,
        "clean": rates.one(int(sums.clean.sum()), images),
        "threats": [_threat(sums, plan, number, rates) for number in range(len(plan.threats))],
        "classes": _classes(sums, plan, classes, rates),
        "corruptions": _corruptions(sums, plan, rates),
        "mean_corruption_accuracy": int(sums.corrupted.sum()) / looked if looked else None,
        "augmentations": [
            {"name": name, "accuracy": rate}
            for name, rate in zip(plan.augmentations, rates(sums.augmented, images), strict=True)
        ],
        "checks": [
            {key: getattr(check, key) for key in ("name", "status", "evidence", "source")}
            for check in subject.checks
        ],
    }


def _corruptions(sums: Sums, plan: Plan, rates: Rates) -> list[Json]:
    accuracies = rates(sums.corrupted, int(sums.trials.sum()))
    return [
        {"name": name, "severity": severity, "accuracy": rate}
        for (name, severity), rate in zip(plan.corrupted, accuracies, strict=True)
    ]


def _threat(sums: Sums, plan: Plan, number: int, rates: Rates) -> Json:
    p, epsilons = plan.threats[number]
    images = int(sums.trials.sum())
    return {
        "norm": NORMS[p],
        "epsilons": list(epsilons),
        "noise": rates(sums.noise[number], images),
        "attacks": [
            {"name": entry.method.name, "label": entry.label, "robust": rates(robust, images)}
            for entry, robust in zip(plan.attacks, sums.robust[number], strict=True)
        ],
        "worst": rates(sums.worst(number).sum(0), images),
        "minimal_epsilon": _minimal(sums.least[number].sum(0).tolist(), epsilons),
        "found_by": [
            {"finder": finder_name(plan, number, *place), "images": int(images)}
            for place, images in np.ndenumerate(sums.found_by[number])
            if images
        ],
    }


def _minimal(counts: Sequence[int], epsilons: Sequence[float]) -> Json:
    """Quantiles on the grid, over all images: the least epsilon that fools so great a share; 0:
    they are wrong as they are.
    """
    grid = [0.0, *epsilons, None]
    reached = np.cumsum(counts)
    quantiles = {
        percent: grid[int((reached * 100 >= percent * reached[-1]).argmax())]
        if reached[-1]
        else None
        for percent in PERCENTS
    }
    return {
        "median": quantiles[50],
        "quantiles": [[percent / 100, epsilon] for percent, epsilon in quantiles.items()],
    }


def _classes(sums: Sums, plan: Plan, names: Sequence[str], rates: Rates) -> list[Json]:
    largest = [
        (condition(p, epsilons[-1]), rates(sums.worst(number)[:, -1], sums.trials))
        for number, (p, epsilons) in enumerate(plan.threats)
    ]
    clean = rates(sums.clean, sums.trials)
    return [
        {
            "index": index,
            "name": name,
            "clean": clean[index],
            "worst": [{"condition": at, "rate": worst[index]} for at, worst in largest],
        }
        for index, name in enumerate(names)
    ]


def _gates(
    tally: Tally, networks: Sequence[AuditedNetwork], confidence: float, rates: Rates
) -> list[Json]:
    return [
        {
            "network": networks[gated.network].name,
            "condition": gated.condition,
            "bar": gated.gate.bar,
            "confidence": confidence,
            "verdict": progress.decision.verdict.name.lower(),
            "decided_after": progress.decision.trials,
            "rate": rates.one(progress.successes, progress.trials),
        }
        for gated, progress in zip(tally.gates, tally.gate_progress, strict=True)
    ]
