"""What is asked of an exemplar index, and what becomes of its answers, with an index that answers
as the test says.
"""

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from interp.layer import UnknownLayer
from service.datasets import Dataset, DatasetError, Datasets, Source, digits
from service.index.store import ExemplarHits, Hit, IndexMissing, Subject, UnitStatistics
from service.models.zoo import ModelZoo
from service.rpc.compute import Compute
from service.rpc.handlers.exemplars import ExemplarHandler
from service.rpc.handlers.index_reader import IndexReader
from service.rpc.validation import InvalidField
from service.rpc.wire import images as wire_images
from striate.v1 import exemplars_pb2 as pb
from tests.service.engine.toys_engine import running
from tests.service.rpc.toys_studio import CALL

NAME = "digits-lenet5"
HITS = [Hit(5, 2.5, 0, 0), Hit(1700, 1.5, 9, 4), Hit(3, -0.5, 3, 9)]


def numbers(unit: int) -> UnitStatistics:
    """Statistics of which no two are equal, all exact in 32 bits."""
    figures: dict[str, Any] = {
        f.name: (8 * unit + place) / 16 for place, f in enumerate(fields(UnitStatistics)[1:12])
    }
    shares, maxima = np.array([0.25, 0.75]), np.array([unit, unit + 1], np.float32)
    return UnitStatistics(
        unit,
        histogram=np.array([3, 0, 4 + unit]),
        quantiles=shares,
        quantile_values=maxima,
        **figures,
    )


@dataclass
class Index:
    """Answers with `hits` and `numbers`, and remembers what it was asked."""

    hits: list[Hit] = field(default_factory=lambda: HITS)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def find(self, *asked: Any) -> ExemplarHits:
        self.asked.append(asked)
        if asked[5] == 8:
            raise ValueError("there are none of this label")
        return ExemplarHits(self.hits[: asked[3]], 7)

    def statistics(
        self, subject: Subject, layer: str, unit: int | None = None
    ) -> list[UnitStatistics]:
        self.asked.append((subject, layer, unit))
        if layer == "c1":
            raise IndexMissing("there is no index")
        return [numbers(unit)] if unit is not None else [numbers(0), numbers(1)]


def unreadable(index: int) -> tuple[str, bytes, int | None]:
    raise DatasetError("it is gone")


@dataclass
class Place:
    """The handlers, without a server."""

    zoo: ModelZoo
    compute: Compute
    datasets: Datasets
    index: Index

    @property
    def handler(self) -> ExemplarHandler:
        reader = IndexReader(self.compute, self.index)  # type: ignore[arg-type]
        return ExemplarHandler(self.zoo, self.datasets, reader)

    def find(
        self, unit: str = "c3:2", dataset: str = "digits", **settings: Any
    ) -> pb.FindExemplarsResponse:
        request = pb.FindExemplarsRequest(model=NAME, unit=unit, dataset=dataset, **settings)
        return asyncio.run(self.handler.find_exemplars(request, CALL))

    def statistics(self, unit: str) -> pb.GetUnitStatisticsResponse:
        request = pb.GetUnitStatisticsRequest(model=NAME, unit=unit, dataset="digits")
        return asyncio.run(self.handler.get_unit_statistics(request, CALL))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running() as engine, ThreadPoolExecutor(2) as pool:
        zoo = ModelZoo(None, {}, engine.run)
        zoo.load(NAME)
        datasets = Datasets({}, tmp_path_factory.mktemp("datasets"))
        datasets._uris["gone"] = datasets._uris["bare"] = "memory"
        datasets._opened["gone"] = Dataset("gone", "memory", Source(9999, unreadable, (), 3))
        datasets._opened["bare"] = Dataset("bare", "memory", Source(9999, unreadable))
        yield Place(zoo, Compute(engine, pool), datasets, Index())


@pytest.fixture
def place(shared: Place) -> Place:
    return replace(shared, index=Index())


def levels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_exemplars_come_with_their_pictures(place: Place) -> None:
    found = place.find(k=3)
    images, labels = digits()
    assert (found.unit, found.images, found.provenance.model) == ("c3:2", 7, NAME)
    for message, hit in zip(found.exemplars, HITS, strict=True):
        assert (message.id, message.activation, message.row, message.column) == (
            hit.id,
            hit.activation,
            hit.row,
            hit.column,
        )
        assert (message.name, message.label, message.label_name) == (
            f"digit-{hit.id:04d}",
            int(labels[hit.id]),
            str(int(labels[hit.id])),
        )
        assert not message.HasField("quantile")
        np.testing.assert_array_equal(levels(message.image_png), images[hit.id, 0].numpy())
        # c1 is 5 x 5, s2 pools by 2, c3 is 5 x 5: a field of 14 pixels that moves by 2.
        assert (message.crop_top, message.crop_left, message.crop_height, message.crop_width) == (
            2 * hit.row,
            2 * hit.column,
            14,
            14,
        )
        crop = images[
            hit.id, 0, 2 * hit.row : 2 * hit.row + 14, 2 * hit.column : 2 * hit.column + 14
        ].numpy()
        np.testing.assert_array_equal(levels(message.crop_png), crop)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, (9, "max", None)),
        ({"order": pb.EXEMPLAR_ORDER_MAX, "k": 100}, (100, "max", None)),
        ({"order": pb.EXEMPLAR_ORDER_MIN}, (9, "min", None)),
        ({"order": pb.EXEMPLAR_ORDER_MEAN, "k": 1}, (1, "mean", None)),
        ({"order": pb.EXEMPLAR_ORDER_MAGNITUDE}, (9, "magnitude", None)),
        ({"order": pb.EXEMPLAR_ORDER_QUANTILE}, (32, "quantile", None)),
        ({"order": pb.EXEMPLAR_ORDER_QUANTILE, "k": 5}, (5, "quantile", None)),
        ({"label": 0}, (9, "max", 0)),
        ({"label": 9, "order": pb.EXEMPLAR_ORDER_MAX}, (9, "max", 9)),
    ],
)
def test_the_index_is_asked_what_the_request_says(
    place: Place, settings: dict[str, Any], asked: tuple[Any, ...]
) -> None:
    place.find(**settings)
    ((subject, layer, unit, *rest),) = place.index.asked
    assert (subject.model, subject.dataset, subject.size, layer, unit) == (
        NAME,
        "digits",
        1797,
        "c3",
        2,
    )
    assert tuple(rest) == asked


@pytest.mark.parametrize(
    ("unit", "order", "asked"),
    [
        ("neg(c3:2)", pb.EXEMPLAR_ORDER_UNSPECIFIED, "min"),
        ("-c3:2", pb.EXEMPLAR_ORDER_MEAN, "lowest_mean"),
        ("neg(c3:2)", pb.EXEMPLAR_ORDER_MIN, "max"),
        ("neg(c3:2)", pb.EXEMPLAR_ORDER_MAGNITUDE, "magnitude"),
        ("abs(c3:2)", pb.EXEMPLAR_ORDER_MAX, "magnitude"),
        ("abs(c3:2)", pb.EXEMPLAR_ORDER_MEAN, "mean_magnitude"),
        ("abs(c3:2)", pb.EXEMPLAR_ORDER_MAGNITUDE, "magnitude"),
    ],
)
def test_minus_a_unit_and_its_magnitude_have_exemplars_of_their_own(
    place: Place, unit: str, order: int, asked: str
) -> None:
    found = place.find(unit, order=order)
    assert found.unit == ("neg(c3:2)" if unit == "-c3:2" else unit)
    assert place.index.asked[0][1:5] == ("c3", 2, 9, asked)
    whole = {message.crop_width == 32 for message in found.exemplars}
    assert whole == {"mean" in asked}


@pytest.mark.parametrize(
    ("unit", "settings", "where"),
    [
        ("neg(c3:2)", {"order": pb.EXEMPLAR_ORDER_QUANTILE}, "order"),
        ("abs(c3:2)", {"order": pb.EXEMPLAR_ORDER_MIN}, "order"),
        ("neg(c3:2)", {"label": 1}, "label"),
        ("neg(c3)", {}, "unit"),
    ],
)
def test_exemplars_that_the_index_does_not_keep(
    place: Place, unit: str, settings: dict[str, Any], where: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        place.find(unit, **settings)
    assert caught.value.field == where
    assert not place.index.asked


def test_statistics_are_of_the_unit_itself(place: Place) -> None:
    with pytest.raises(InvalidField, match="the statistics of c3:2 hold both of its ends"):
        place.statistics("neg(c3:2)")


def test_without_images_none_is_read(place: Place) -> None:
    whole, bare = place.find(), place.find(dataset="gone", without_images=True)
    for message in whole.exemplars:
        for name in ("name", "label", "label_name", "image_png", "crop_png"):
            message.ClearField(name)
    assert list(bare.exemplars) == list(whole.exemplars)
    with pytest.raises(DatasetError, match="image 5 of data set 'gone' cannot be read: it is gone"):
        place.find(dataset="gone", k=1)


def test_an_exemplar_whose_image_is_bad_is_named_or_left_out(place: Place) -> None:
    datasets = place.datasets

    def item(index: int) -> tuple[str, bytes, int | None]:
        name, data, label = datasets.get("digits").source.item(index)
        return name, data[:40] if index == 1700 else data, label

    data = Dataset("spoilt", "memory", Source(1797, item))
    datasets._uris["spoilt"], datasets._opened["spoilt"] = "memory", data
    with pytest.raises(DatasetError, match=r"image 1700 \('digit-1700'\) of data set 'spoilt'"):
        place.find(dataset="spoilt")
    asked = place.find(dataset="spoilt", skip_bad=True)
    datasets._opened["spoilt"] = data.skipping_bad()
    for found in (asked, place.find(dataset="spoilt")):
        assert [one.id for one in found.exemplars] == [5, 3]
        assert [(one.id, one.name) for one in found.left_out] == [(1700, "digit-1700")]
        assert "no readable" in found.left_out[0].reason
        assert found.images_left_out == 0  # by the index
    assert len(place.find(dataset="spoilt", without_images=True).exemplars) == 3


@pytest.mark.parametrize(
    ("unit", "settings"),
    [("c3:2", {"order": pb.EXEMPLAR_ORDER_MEAN}), ("logits:3", {}), ("f6:0", {})],
)
def test_what_depends_on_the_whole_image_shows_all_of_it(
    place: Place, unit: str, settings: dict[str, Any]
) -> None:
    for message in place.find(unit, **settings).exemplars:
        assert (message.crop_top, message.crop_left, message.crop_height, message.crop_width) == (
            0,
            0,
            32,
            32,
        )
        assert message.crop_png == message.image_png


def test_quantiles_say_which(place: Place) -> None:
    place.index.hits = [Hit(1, -1.0, 0, 0, 0.0), Hit(2, 0.5, 0, 1, 0.25)]
    found = place.find(order=pb.EXEMPLAR_ORDER_QUANTILE)
    assert [(e.HasField("quantile"), e.quantile) for e in found.exemplars] == [
        (True, 0.0),
        (True, 0.25),
    ]


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"unit": ""}, "unit"),
        ({"unit": "c3"}, "unit"),
        ({"unit": "c3:2@1,1"}, "unit"),
        ({"unit": "c3:16"}, "unit (unit of c3)"),
        ({"k": 101}, "k"),
        ({"order": 6}, "order"),
        ({"dataset": ""}, "dataset"),
        ({"label": 10}, "label"),
        ({"label": 0, "dataset": "bare"}, "label"),
        *(
            ({"label": 1, "order": order}, "label")
            for order in pb.ExemplarOrder.values()
            if order > 1
        ),
    ],
)
def test_requests_that_are_refused(place: Place, settings: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidField) as caught:
        place.find(**settings)
    assert caught.value.field == where
    assert not place.index.asked


def test_labels_that_the_index_does_not_know(place: Place) -> None:
    with pytest.raises(InvalidField, match="label: there are none of this label"):
        place.find(label=8)


def test_pictures_that_no_message_can_hold(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_images, "MOST_BYTES", place.find(k=3).ByteSize() - 1)
    with pytest.raises(InvalidField, match="k: the pictures of 3 exemplars"):
        place.find(k=3)
    assert len(place.find(k=2).exemplars) == 2


def test_statistics_arrive_whole(place: Place) -> None:
    one, layer = place.statistics("c3:5"), place.statistics("c3")
    assert [asked[1:] for asked in place.index.asked] == [("c3", 5), ("c3", None)]
    assert (one.images, layer.images, one.provenance.model) == (3 + 4 + 5, 3 + 4, NAME)
    for message, wanted in zip(
        [*one.units, *layer.units], [numbers(5), numbers(0), numbers(1)], strict=True
    ):
        assert message.unit == f"c3:{wanted.unit}"
        for name in pb.UnitStatistics.DESCRIPTOR.fields_by_name:
            if name != "unit":
                np.testing.assert_array_equal(getattr(message, name), getattr(wanted, name))


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("c3:16", InvalidField),
        ("c3:1@0,0", InvalidField),
        ("c9", UnknownLayer),
        ("c1", IndexMissing),
    ],
)
def test_statistics_that_there_are_not(place: Place, unit: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        place.statistics(unit)
