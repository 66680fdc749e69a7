"""Networks of timm where it is not installed, and the names under which they are hosted."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from service.models.blueprint import RANDOM
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.sources import hub
from service.models.sources import registry as sources
from tests.service.models.sources.test_huggingface import catalogue


def test_names_go_there_and_back() -> None:
    for name in ("resnet18", "resnet18.a1_in1k", "tf_efficientnetv2_b3.in21k_ft_in1k"):
        assert sources.hosted_name(f"timm:{name}") == f"timm.{name}"
        assert sources.is_hosted_name(f"timm.{name}")
    for name in ("a/b", "a.b.c", ".b", "a.", "../a", "a b", "", "x" * 101):
        assert not sources.is_hosted_name(f"timm.{name}")


def test_without_the_package_the_error_says_how_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    wanted = r"timm:resnet18\.a1_in1k takes `pip install \./clients '\.\[timm\]'` in a checkout"
    with pytest.raises(ModelError, match=wanted):
        Catalogue(None, {}).blueprint("timm.resnet18.a1_in1k", RANDOM)
    with pytest.raises(ModelError, match="takes `pip install"):
        catalogue("timm:resnet18").blueprint("mine")


class EntryNotFoundError(Exception):
    """What the hub's library raises for a file that a repository has not."""


def test_a_revision_and_a_missing_file_are_told_to_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def hf_hub_download(repository: str, file: str, **options: object) -> str:
        asked.append((repository, file, options))
        raise EntryNotFoundError("404\nmore")

    library = ModuleType("huggingface_hub")
    library.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    with pytest.raises(hub.NotOnHub, match=r"x of mine cannot be downloaded: EntryNot.*: 404$"):
        hub.download("a/b@v2", "x", tmp_path, "mine", "timm", "do without")
    options = {"cache_dir": tmp_path / "huggingface", "revision": "v2"}
    assert asked == [("a/b", "x", options | {"local_files_only": True}), ("a/b", "x", options)]


def test_pickled_files_are_held_to_the_digest_that_they_are_called_by(tmp_path: Path) -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc"
    blob, link = tmp_path / digest, tmp_path / "pytorch_model.bin"
    blob.write_bytes(b"abc")
    link.symlink_to(blob)
    hub.verify(link, "mine")
    blob.write_bytes(b"abd")
    with pytest.raises(ModelError, match="is damaged: its SHA-256 begins with"):
        hub.verify(link, "mine")
    link.unlink()
    link.write_bytes(b"abc")
    with pytest.raises(ModelError, match="no digest by which it could be verified"):
        hub.verify(link, "mine")
