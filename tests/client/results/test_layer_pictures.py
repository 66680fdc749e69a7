"""Whole layers: streaming, files, cancellation and streams that end before their time."""

import signal
import threading
from pathlib import Path

import grpc
import pytest

import striate
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_pictures import KEPT, UNITS
from tests.client.fakes.fakes_server import LONG, Fake, block_until_cancelled, png
from tests.client.toys_pictures import SENT, SETTINGS


def whole(net: striate.Model, text: str = "stem:*") -> striate.LayerPictures:
    """What visualize gives for a whole layer, which its types do not tell from a single picture."""
    found: object = net.visualize(text)
    assert isinstance(found, striate.LayerPictures)
    return found


def test_units_come_as_they_finish(fake: Fake, net: striate.Model) -> None:
    let_go = threading.Event()
    fake.before_unit = lambda unit, context: None if unit >= 3 else (let_go.wait(LONG), None)[1]
    pictures = whole(net)
    assert fake.requests("VisualizeLayer") == []
    stream = iter(pictures)
    assert [next(stream).unit, next(stream).unit] == [4, 3], "before the others are done"
    assert (pictures.total, repr(pictures)) == (UNITS, f"LayerPictures('stem', 2 of {UNITS} units)")
    let_go.set()
    rest = [(unit, visualization.objective, cached) for unit, visualization, cached in stream]
    assert rest == [(unit, f"stem:{unit}", unit == KEPT) for unit in (2, 1, 0)]
    assert [one.unit for one in pictures] == [4, 3, 2, 1, 0], "gone through again"
    assert [one.unit for one in pictures.all()] == [0, 1, 2, 3, 4]
    assert len(fake.requests("VisualizeLayer")) == 1
    assert pictures.all()[3].visualization.certificate.ratio == 1.5  # type: ignore[union-attr]
    assert pictures.provenance == pictures.found[0].visualization.provenance
    assert pictures.provenance is not None
    assert pictures.provenance.model == "tiny"


def test_every_setting_of_a_layer_arrives(fake: Fake, net: striate.Model) -> None:
    net.visualize_layer("stem", units=range(1, 4), sheet=False, **SETTINGS).all()
    whole(net, "stem:1-3").all()
    whole(net).all()
    first, second, third = fake.requests("VisualizeLayer")
    assert first == pb.VisualizeLayerRequest(
        model="tiny", settings=SENT, layer="stem", first_unit=1, unit_count=3, sheet=False
    )
    plain = pb.PictureSettings()
    assert second == pb.VisualizeLayerRequest(
        model="tiny", settings=plain, layer="stem", first_unit=1, unit_count=3, sheet=True
    )
    assert third == pb.VisualizeLayerRequest(model="tiny", settings=plain, layer="stem", sheet=True)


def test_sheet_and_files(net: striate.Model, tmp_path: Path) -> None:
    pictures = whole(net)
    assert pictures.sheet.size == (18, 12)  # waits for the end by itself
    assert (pictures.columns, pictures.tile, pictures.units) == (3, 6, (0, 1, 2, 3, 4))
    paths = pictures.save(tmp_path / "new")
    assert [path.name for path in paths] == [
        *(f"stem-{unit}.png" for unit in (4, 3, 2, 1, 0)),
        "sheet.png",
    ]
    assert (tmp_path / "new" / "stem-3.png").read_bytes() == png(4, 5, 3)
    assert (tmp_path / "new" / "sheet.png").read_bytes() == pictures.sheet_png == png(12, 18, 9)
    assert pictures._repr_html_().count("<img") == 1
    bare = net.visualize_layer("stem", sheet=False)
    assert [path.name for path in bare.save(tmp_path / "bare")][-1] == "stem-0.png"
    assert bare._repr_html_().count("<img") == UNITS
    with pytest.raises(striate.InvalidArgument, match="sheet: was not asked for"):
        _ = bare.columns


def test_closing_cancels_on_the_server(fake: Fake, net: striate.Model) -> None:
    started, cancelled = threading.Event(), threading.Event()
    fake.before_unit = lambda unit, context: (
        block_until_cancelled(context, started.set, cancelled) if unit == 2 else None
    )
    with whole(net) as pictures:
        for picture in pictures:
            if picture.unit == 3:
                break
        assert started.wait(LONG)
    assert cancelled.wait(LONG)
    assert [picture.unit for picture in pictures.found] == [4, 3]
    with pytest.raises(striate.Cancelled, match="closed at 2 of 5 units"):
        pictures.all()


def test_another_thread_may_close(fake: Fake, net: striate.Model) -> None:
    started, cancelled = threading.Event(), threading.Event()
    fake.before_unit = lambda unit, context: block_until_cancelled(context, started.set, cancelled)
    pictures = whole(net)

    def close() -> None:
        started.wait(LONG)
        pictures.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(striate.Cancelled, match="closed at 0 of"):
        next(iter(pictures))  # waits for the first unit
    closer.join(LONG)
    assert cancelled.wait(LONG)


def test_a_closed_layer_is_never_asked_for(fake: Fake, net: striate.Model) -> None:
    pictures = whole(net)
    pictures.close()
    with pytest.raises(striate.Cancelled):
        pictures.all()
    assert fake.requests("VisualizeLayer") == []


def test_ctrl_c_cancels_on_the_server(fake: Fake, net: striate.Model) -> None:
    main = threading.main_thread().ident
    assert main is not None
    cancelled = threading.Event()

    def interrupt(unit: int, context: grpc.ServicerContext) -> None:
        if unit == 3:
            block_until_cancelled(
                context, lambda: signal.pthread_kill(main, signal.SIGINT), cancelled
            )

    fake.before_unit = interrupt
    with pytest.raises(KeyboardInterrupt):
        whole(net).all()
    assert cancelled.wait(LONG)


def test_errors(fake: Fake, net: striate.Model) -> None:
    gone = net.visualize_layer("gone")
    with pytest.raises(striate.LayerNotFound, match="gone"):
        next(iter(gone))
    fake.units_withheld = 2
    with pytest.raises(striate.Internal, match="after 5 of 7 units"):
        whole(net).all()
    with pytest.raises(striate.Internal, match="after 5 of 7 units"):
        net.visualize_layer("stem", sheet=False).all()
