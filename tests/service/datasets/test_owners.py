"""Uploads belong to who made them: to others they do not exist, unless they are shared, and the
same content of two owners is two data sets.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service.auth.errors import PermissionDenied
from service.auth.identity import EVERYONE, Identity, Role, acting_as
from service.auth.quota import Quota, QuotaExceeded
from service.datasets import Datasets, UnknownDataset
from service.datasets.uploads import damage
from service.state import DataLost
from tests.service.datasets.test_uploads import ROWS

ANN = Identity("ann", Role.COMPUTE, datasets=("digits",))
BOB = Identity("bob", Role.COMPUTE)
ADMIN = Identity("eve", Role.ADMIN)
NOWHERE = "upload-0123456789abcdef"


def sent(datasets: Datasets, caller: Identity, shared: Sequence[str] = (), rows: int = 9) -> str:
    with acting_as(caller):
        upload = datasets.uploads.begin((), shared)
        try:
            upload.add(ROWS[:rows])
            return upload.finish()
        finally:
            upload.abandon()


def seen(datasets: Datasets, caller: Identity) -> set[str]:
    with acting_as(caller):
        return {name for name in datasets.names if name.startswith("upload-")}


def test_the_same_content_of_two_owners_is_two_data_sets(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    names = [sent(datasets, caller) for caller in (ANN, BOB, EVERYONE)]
    assert len(set(names)) == 3
    assert [sent(datasets, caller) for caller in (ANN, BOB, EVERYONE)] == names
    for again in (datasets, Datasets({}, tmp_path)):  # a later server, too
        assert seen(again, ANN) == {names[0]}
        assert seen(again, BOB) == {names[1]}
        assert seen(again, ADMIN) == seen(again, EVERYONE) == set(names)
    with acting_as(ANN):
        assert len(datasets.get(names[0])) == 9  # whatever settings' data sets they may name
        datasets.delete(names[0])
    with acting_as(BOB):
        assert len(datasets.get(names[1])) == 9


@pytest.mark.parametrize(
    "ask",
    [
        lambda datasets, name: datasets.get(name),
        lambda datasets, name: datasets.get_without_download(name),
        lambda datasets, name: datasets.delete(name),
        lambda datasets, name: datasets.require_own(name),
    ],
)
def test_anothers_upload_is_as_none(tmp_path: Path, ask: Callable[[Datasets, str], object]) -> None:
    datasets = Datasets({}, tmp_path)
    name, told = sent(datasets, ANN), []
    with acting_as(BOB):
        for one in (name, NOWHERE):
            assert one not in datasets
            assert not datasets.may_name(one)
            with pytest.raises(UnknownDataset) as caught:
                ask(datasets, one)
            told.append((str(caught.value).replace(one, "?"), caught.value.nearest))
        assert datasets.uploads.size(name) == 0
    assert told[0] == told[1]
    for caller in (ANN, ADMIN):
        name = sent(datasets, ANN)
        with acting_as(caller):
            ask(datasets, name)


def test_what_is_shared_is_used_and_not_deleted(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets, ANN, ("bob",))
    with acting_as(BOB):
        assert len(datasets.get(name)) == 9
        assert datasets.may_name(name)
        with pytest.raises(PermissionDenied, match="belongs to 'ann', who shares it"):
            datasets.delete(name)
    assert seen(datasets, Identity("zoe", Role.COMPUTE)) == set()
    assert sent(datasets, ANN, ("compute",)) == name  # who sends it again says anew who may see it
    assert seen(datasets, Identity("zoe", Role.COMPUTE)) == {name}
    assert seen(datasets, Identity("zoe", Role.READ)) == set()
    assert sent(datasets, ANN) == name
    assert seen(datasets, BOB) == set()
    with acting_as(ANN):
        datasets.delete(name)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_server_without_keys_shares_with_those_who_will_have_some(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets, EVERYONE, ("read",))
    assert seen(datasets, BOB) == {name}
    assert sent(datasets, EVERYONE) == name
    assert seen(datasets, BOB) == set()


@pytest.mark.parametrize("text", [None, "", "{", '{"owner": "bob", "share": []}', '["bob"]'])
def test_whose_it_is_cannot_be_changed_on_the_disk(tmp_path: Path, text: str | None) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets, ANN)
    path = tmp_path / "uploads" / f"{name}.parquet"
    assert damage(path) is None
    whose = path.with_suffix(".json")
    whose.unlink() if text is None else whose.write_text(text)
    assert damage(path) is not None
    later = Datasets({}, tmp_path)
    with acting_as(BOB), pytest.raises((UnknownDataset, DataLost)):
        later.get(name)
    with acting_as(ADMIN), pytest.raises(DataLost):
        later.get(name)


def test_of_an_upload_that_is_gone_an_admin_alone_may_know(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    name = sent(datasets, ANN)
    with acting_as(ANN):
        datasets.delete(name)
    for caller, may in ((ANN, False), (BOB, False), (ADMIN, True), (EVERYONE, True)):
        with acting_as(caller):
            assert datasets.may_name(name) == may


def test_a_caller_sends_no_more_than_they_may(tmp_path: Path) -> None:
    datasets = Datasets({}, tmp_path)
    size = sum(len(image) for image, _ in ROWS[:9])
    few = Identity("ann", Role.COMPUTE, quota=Quota(uploads=2))
    sent(datasets, few, rows=9)
    sent(datasets, few, rows=8)
    with pytest.raises(QuotaExceeded, match="2 uploads, has 2") as found:
        sent(datasets, few, rows=7)
    assert found.value.retry_after > 0
    assert datasets.uploads.held("ann")[0] == 2
    small = Identity("bob", Role.COMPUTE, quota=Quota(upload_bytes=size - 1))
    with pytest.raises(QuotaExceeded, match="upload bytes"):
        sent(datasets, small, rows=9)
    assert datasets.uploads.held("bob") == (0, 0)
    sent(datasets, small, rows=2)  # what was given up does not count
    with acting_as(small):
        one, two = datasets.uploads.begin(), datasets.uploads.begin()
        one.add(ROWS[:3])
        with pytest.raises(QuotaExceeded):  # two at a time are held to it together
            two.add(ROWS[:9])
        one.abandon()
        two.abandon()
    sent(datasets, BOB, rows=9)
