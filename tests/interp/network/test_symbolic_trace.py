"""Tracing in one thread, while another one calls modules."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from interp.network.symbolic_trace import PrivateTracer


class Foreign(nn.Module):
    """Reads a parameter of its own, and calls a part."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.inner = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale  # type: ignore[no-any-return]


class Interrupted(nn.Module):
    """While it is traced, another thread calls another module."""

    def __init__(self, foreign: Foreign, results: list[Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)
        self.meanwhile = lambda: results.append(foreign(torch.ones(1, 2)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.meanwhile).result(60)
        return self.second(x)  # type: ignore[no-any-return]


def nodes(graph: fx.Graph) -> list[tuple[str, str]]:
    return [(node.op, str(node.target)) for node in graph.nodes]


def test_calls_of_other_threads_are_calls_and_no_part_of_the_trace() -> None:
    foreign, results = Foreign(), list[Tensor]()
    expected = foreign(torch.ones(1, 2))
    graph = PrivateTracer().trace(Interrupted(foreign, results))
    assert torch.equal(results[0], expected)
    assert nodes(graph) == [
        ("placeholder", "x"),
        ("call_module", "first"),
        ("call_module", "second"),
        ("output", "output"),
    ]


def test_the_trace_is_that_of_torch() -> None:
    foreign = Foreign()
    assert nodes(PrivateTracer().trace(foreign)) == nodes(fx.Tracer().trace(foreign))


def test_the_turn_is_held_while_a_module_is_traced_and_given_back_after_a_failure() -> None:
    held = []

    class Turn(AbstractContextManager[object]):
        def __enter__(self) -> None:
            held.append(True)

        def __exit__(self, *_: Any) -> None:
            held.append(False)

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert held == [True]
            return x if x.sum() > 0 else -x

    call = nn.Module.__call__
    with pytest.raises(fx.proxy.TraceError):
        PrivateTracer(Turn()).trace(Odd())
    assert held == [True, False]
    assert nn.Module.__call__ is call
    assert isinstance(PrivateTracer(nullcontext()).trace(nn.ReLU()), fx.Graph)
