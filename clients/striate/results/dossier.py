"""One unit on one page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from striate.provenance import Provenance
from striate.results.exemplars import Exemplar, Exemplars
from striate.results.facets import Facet
from striate.results.tuning import UnitTuning
from striate.results.unit_statistics import UnitStatistics
from striate.results.visualization import Visualization, Visualizations
from striate.v1 import dossier_pb2


@dataclass(frozen=True)
class LogitShift:
    """How a class's logit depends on the unit.

    Attributes:
        index: The class's position in the logits.
        label: Its name.
        mean: Mean over the images of the logit with the unit, minus that with the unit's
            activations set to zero.
        standard_error: Standard error of that mean.
    """

    index: int
    label: str
    mean: float
    standard_error: float

    @staticmethod
    def read(message: dossier_pb2.LogitShift) -> LogitShift:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return LogitShift(message.index, message.label, message.mean, message.standard_error)


@dataclass(frozen=True)
class UnitFlip:
    """How an attack on the class changes a unit.

    Attributes:
        unit: The unit's number, from 0.
        share: Share of the images on which PGD takes the unit's largest activation across its
            median over the clean images, 0 to 1.
        shift: Mean change of its largest activation, in standard deviations over the clean images;
            0 for a unit that is constant but for float noise.
        rank: Place among the layer's units by share, from 1.
    """

    unit: int
    share: float
    shift: float
    rank: int

    @staticmethod
    def read(message: dossier_pb2.UnitFlip) -> UnitFlip:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        return UnitFlip(message.unit, message.share, message.shift, message.rank)


@dataclass(frozen=True, eq=False)
class Dossier:
    """What is known of one unit.

    Attributes:
        html: One self-contained page.
        unit: The unit in full, "layer:unit" with the layer's dotted name.
        visualizations: Its pictures from different seeds.
        exemplars: The images of the data set with its largest activations at any position.
        exemplars_by_mean: Those with its highest means over positions, which is what the pictures
            maximize; none for layers without rows and columns, whose mean is their maximum.
        statistics: What it does over the data set.
        tuning: The grating that it prefers; None for layers without rows and columns.
        logit_shifts: How every class depends on it, the largest fall of a logit first.
        flips: At most 16 units of the layer, those first that PGD flips most often, and this one.
        facets: The different things that it sees; empty unless asked for.
        provenance: Where all of it came from.
    """

    html: str = field(repr=False)
    unit: str
    visualizations: Visualizations = field(repr=False)
    exemplars: Exemplars = field(repr=False)
    exemplars_by_mean: Exemplars = field(repr=False)
    statistics: UnitStatistics = field(repr=False)
    tuning: UnitTuning | None = field(repr=False)
    logit_shifts: tuple[LogitShift, ...] = field(repr=False)
    flips: tuple[UnitFlip, ...] = field(repr=False)
    facets: tuple[Facet, ...] = field(repr=False)
    provenance: Provenance = field(repr=False)

    @staticmethod
    def read(message: dossier_pb2.CompileDossierResponse) -> Dossier:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        provenance = Provenance.read(message.provenance)
        images = sum(message.statistics.histogram)  # its bins hold every image once
        return Dossier(
            html=message.html.decode(),
            unit=message.unit,
            visualizations=Visualizations(
                (Visualization.read(one, provenance) for one in message.visualizations), provenance
            ),
            exemplars=Exemplars(
                map(Exemplar.read, message.exemplars), message.unit, images, provenance
            ),
            exemplars_by_mean=Exemplars(
                map(Exemplar.read, message.exemplars_by_mean), message.unit, images, provenance
            ),
            statistics=UnitStatistics.read(message.statistics, images, provenance),
            tuning=UnitTuning.read(message.tuning) if message.HasField("tuning") else None,
            logit_shifts=tuple(map(LogitShift.read, message.logit_shifts)),
            flips=tuple(map(UnitFlip.read, message.flips)),
            facets=tuple(Facet.read(one, provenance) for one in message.facets),
            provenance=provenance,
        )

    def save(self, path: str | Path) -> Path:
        """Saves the page.

        Args:
            path: Where to; folders that are missing are made.

        Returns:
            The path.

        Raises:
            OSError: The file cannot be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox srcdoc="{escape(self.html)}" style="width:100%;height:40em;border:0" '
            f'title="{escape(self.unit)}"></iframe>'
        )
