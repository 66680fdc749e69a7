"""The command that writes one page about one unit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from striate._cli.arguments import IndexedDataset, ModelName, UnitName, number_option
from striate._cli.command import command
from striate._cli.interpret.picture_options import PICTURE_SETTINGS
from striate._cli.interpret.picture_table import as_json, facet_as_json
from striate._cli.session import Session
from striate.results.dossier import Dossier
from striate.results.exemplars import Exemplar


@command(settings=PICTURE_SETTINGS)
def dossier(
    session: Session,
    model: ModelName,
    unit: UnitName,
    dataset: IndexedDataset,
    settings: dict[str, Any],
    pictures: Annotated[
        int | None, typer.Option(min=1, max=4, help="From different seeds. Default: 1.")
    ] = None,
    exemplars: Annotated[int | None, typer.Option(min=1, max=36, help="Default: 9.")] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, max=512, help="That ablation and PGD are run on. Default: 64."),
    ] = None,
    epsilon: Annotated[float | None, number_option("Of PGD in Linf. Default: 8/255.")] = None,
    attack_steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Of PGD. Default: 10.")
    ] = None,
    with_facets: Annotated[
        bool, typer.Option("--facets", help="Also find the unit's facets.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("dossier.html"),
) -> None:
    """Write one page about one unit."""
    found = session.service.model(model).dossier(
        unit,
        dataset=dataset,
        pictures=pictures,
        exemplars=exemplars,
        images=images,
        epsilon=epsilon,
        attack_steps=attack_steps,
        facets=with_facets,
        **settings,
    )
    path = found.save(out)
    session.screen.result(_as_json(found) | {"file": str(path)})
    session.screen.line(f"{found.unit} -> {path}")


def _exemplar_as_json(one: Exemplar) -> dict[str, object]:
    return {"id": one.id, "name": one.name, "activation": one.activation}


def _as_json(found: Dossier) -> dict[str, object]:
    return {
        "unit": found.unit,
        "visualizations": [as_json(one) for one in found.visualizations],
        "exemplars": [_exemplar_as_json(one) for one in found.exemplars],
        "exemplars_by_mean": [_exemplar_as_json(one) for one in found.exemplars_by_mean],
        "statistics": asdict(found.statistics),
        "tuning": None if found.tuning is None else asdict(found.tuning),
        "logit_shifts": [asdict(shift) for shift in found.logit_shifts],
        "flips": [asdict(flip) for flip in found.flips],
        "facets": [facet_as_json(one) for one in found.facets],
        "provenance": asdict(found.provenance),
    }
