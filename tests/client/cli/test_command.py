"""Commands and their groups of options."""

import inspect
from typing import Annotated

import typer

from striate._cli.command import command, option_group
from striate._cli.session import Session


def pair(
    first: Annotated[int, typer.Option()] = 1, second: Annotated[int, typer.Option()] = 2
) -> tuple[int, int]:
    return (first, second)


def test_a_group_stands_where_its_parameter_stood() -> None:
    found: list[object] = []

    @command(both=option_group(pair))
    def run(
        session: Session, model: str, both: tuple[int, int], last: Annotated[int, None] = 3
    ) -> None:
        found.extend([session.timeout, model, both, last])

    parameters = inspect.signature(run).parameters
    own = ["model", "first", "second", "last"]
    assert list(parameters)[:4] == own
    assert {"server", "timeout", "as_json"} <= {*parameters} - {*own}
    assert [parameters[name].default for name in ("first", "second", "last")] == [1, 2, 3]
    given = {name: one.default for name, one in parameters.items()}
    given |= {"model": "m", "first": 5, "second": 6, "last": 7}
    run(**given | {"server": "127.0.0.1:1", "timeout": 4.0, "as_json": False})
    assert found == [4.0, "m", (5, 6), 7]
