"""What goes wrong with a job goes wrong with that one alone."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from interp.attack.losses import cross_entropy
from interp.layer import UnknownLayer
from interp.objective import Objective
from interp.probe import Probe, Procedure, StepProgress, solve
from service.engine.job import NotFinite
from tests.interp.toys_networks import images, tricky
from tests.service.engine.toys_engine import WAIT, Model, Recorder, counted, held, running, steps
from tests.service.engine.toys_jobs import JOBS, same


class Broken(Exception):
    pass


def fails(_: Mapping[str, Tensor]) -> Tensor:
    raise Broken("in the objective")


def turns_nan(activations: Mapping[str, Tensor]) -> Tensor:
    return (activations["logits"].sum(1) - 1e6).log()


def asks(probe: Probe, times: int = 3) -> Procedure[None]:
    for _ in range(times):
        yield probe


def breaks() -> Procedure[None]:
    yield Probe(images(1), logits=True)
    raise Broken("in the procedure")


def bad_rows() -> Procedure[None]:
    yield Probe(images(9), cross_entropy(torch.tensor([0, 1])))  # two labels for nine images


def not_a_probe() -> Procedure[None]:
    yield "what?"  # type: ignore[misc]


FAILURES: dict[str, tuple[Callable[[], Procedure[Any]], type[Exception]]] = {
    "objective": (lambda: asks(Probe(images(2), Objective(("logits",), fails))), Broken),
    "nan score": (lambda: asks(Probe(images(2), Objective(("logits",), turns_nan))), NotFinite),
    "nan image": (
        lambda: asks(Probe(images(2) * math.nan, cross_entropy(torch.tensor([0, 1])))),
        NotFinite,
    ),
    "nan logits": (lambda: asks(Probe(images(2) * math.nan, logits=True)), NotFinite),
    "layer": (lambda: asks(Probe(images(2), layers=("nowhere",))), UnknownLayer),
    "procedure": (breaks, Broken),
    "rows": (bad_rows, ValueError),
    "no probe": (not_a_probe, AttributeError),
}


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("name", FAILURES)
def test_a_job_fails_alone(name: str, deterministic: bool) -> None:
    network = tricky()
    job, error = FAILURES[name]
    with running(tick_rows=16, chunk=4) as engine:
        with held(engine):
            before = [
                engine.submit(Model(network), JOBS[n](), deterministic=deterministic)
                for n in (0, 3, 5)
            ]
            broken = engine.submit(Model(network), job(), deterministic=deterministic)
            after = [
                engine.submit(Model(network), JOBS[n](), deterministic=deterministic)
                for n in (1, 6)
            ]
        with pytest.raises(error):
            broken.result(WAIT)
        results = [future.result(WAIT) for future in before + after]
        assert counted(engine, "striate_jobs_total", reason="failed") == 1
        assert counted(engine, "striate_jobs_total", reason="finished") == 5
    for result, number in zip(results, (0, 3, 5, 1, 6), strict=True):
        same(result, solve(JOBS[number](), network))


def test_a_listener_that_raises_fails_its_job_alone() -> None:
    recorder = Recorder()

    def listen(progress: StepProgress, _: Tensor) -> None:
        if progress.step == 2:
            raise Broken("in the listener")

    with running() as engine:
        with held(engine):
            broken = engine.submit(recorder.model, steps(1, 1, 5), on_progress=listen)
            company = engine.submit(recorder.model, steps(2, 1, 5))
        with pytest.raises(Broken):
            broken.result(WAIT)
        assert len(company.result(WAIT)) == 5


def test_a_procedure_that_will_not_close_does_not_stop_the_engine() -> None:
    def clings() -> Procedure[None]:
        try:
            yield Probe(torch.zeros(1, 1, 1, 2), logits=True)
        finally:
            raise Broken("on closing")

    def cancel(passes: int) -> None:
        clinging.cancel()

    recorder = Recorder(before=cancel)
    with running() as engine:
        with held(engine):
            clinging = engine.submit(recorder.model, clings())
        assert len(engine.submit(recorder.model, steps(2, 1, 3)).result(WAIT)) == 3


def test_a_defect_of_the_engine_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as engine:
        with monkeypatch.context() as patch:
            patch.setattr("service.engine.engine.share_rows", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                engine.submit(Recorder().model, steps(1, 1, 1)).result(WAIT)
        assert len(engine.submit(Recorder().model, steps(1, 1, 1)).result(WAIT)) == 1


def test_finite_values_whose_sum_is_not_are_no_failure() -> None:
    probe = Probe(
        images(2), Objective(("logits",), lambda a: a["logits"].sum(1) * 0 + 1.5e308)
    )  # the two add up to infinity
    network = tricky()

    def once() -> Procedure[Tensor | None]:
        return (yield probe).score

    with running() as engine:
        score = engine.submit(Model(network), once()).result(WAIT)
    assert score is not None
    assert score.tolist() == pytest.approx([1.5e308, 1.5e308])
    assert not score.sum().isfinite()


@pytest.mark.parametrize(
    "values", [(math.inf, -math.inf), (math.inf, 1.0), (-math.inf, 1.0), (math.nan, 1.0)]
)
def test_every_value_that_is_not_finite_is_a_failure(values: tuple[float, float]) -> None:
    probe = Probe(
        images(2), Objective(("logits",), lambda a: a["logits"].sum(1) * 0 + torch.tensor(values))
    )
    with running() as engine, pytest.raises(NotFinite):
        engine.submit(Model(tricky()), asks(probe, 1)).result(WAIT)
