"""Settings from flags, environment, file and defaults."""

import itertools
from pathlib import Path

import pytest

from service.config import Settings, load_settings
from tests.service.config.toys_config import refused


def test_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings([])
    assert (settings.host, settings.port, settings.device, settings.deterministic_chunk) == (
        "127.0.0.1",
        50051,
        "auto",
        0,
    )
    assert set(settings.model) == {"digits-lenet5", "cifar10-plain", "cifar10-robust"}
    assert settings.dataset == {"digits": "digits", "photo-patches": "photo-patches"}
    assert settings.state_dir == tmp_path / "state" / "striate"
    assert settings.weights_dir is None
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings([]).state_dir == tmp_path / ".local" / "state" / "striate"


def test_the_fixed_names_of_flags(tmp_path: Path) -> None:
    file = tmp_path / "striate.toml"
    file.touch()
    flags = (
        "--host 0.0.0.0 --insecure --port 0 --model a --model b --weights-dir w --dataset "
        "x=imagefolder:/a,b=c --dataset y=digits --state-dir s"
    )
    settings = load_settings([*flags.split(), "--settings", str(file)])
    assert (settings.host, settings.port, settings.model) == ("0.0.0.0", 0, ("a", "b"))
    assert (settings.weights_dir, settings.state_dir) == (Path("w"), Path("s"))
    assert settings.dataset == {"x": "imagefolder:/a,b=c", "y": "digits"}


def test_where_indexes_lie(tmp_path: Path) -> None:
    file = tmp_path / "striate.toml"
    for written, wanted in (
        ("", None),
        ('index_uri = "here"', str(tmp_path / "here")),
        ('index_uri = "s3://b/p"', "s3://b/p"),
    ):
        file.write_text(written)
        assert load_settings(["--settings", str(file)]).index_uri == wanted
    assert (
        load_settings(["--settings", str(file), "--index-uri", "memory://x"]).index_uri
        == "memory://x"
    )


def test_flags_go_before_the_environment_before_the_file_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "striate.toml"
    for in_file, in_environment, in_flags in itertools.product([False, True], repeat=3):
        file.write_text("port = 1\nqueue_size = 7" if in_file else "")
        if in_environment:
            monkeypatch.setenv("STRIATE_PORT", "2")
        else:
            monkeypatch.delenv("STRIATE_PORT", raising=False)
        settings = load_settings(["--settings", str(file), *(["--port", "3"] if in_flags else [])])
        assert settings.port == (
            3 if in_flags else 2 if in_environment else 1 if in_file else 50051
        )
        assert settings.queue_size == (7 if in_file else 256)


def test_lists_and_data_sets_from_every_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "striate.toml"
    file.write_text('model = ["f"]\n[dataset]\na = "digits"\nb = "imagefolder:/b"')
    monkeypatch.setenv("STRIATE_SETTINGS", str(file))
    assert load_settings([]).model == ("f",)
    monkeypatch.setenv("STRIATE_MODEL", "d, e")
    monkeypatch.setenv("STRIATE_DATASET", "b=parquet:/x,/y,c=digits")
    settings = load_settings(["--dataset", "c=torchvision:CIFAR10"])
    assert settings.model == ("d", "e")
    assert settings.dataset == {"a": "digits", "b": "parquet:/x,/y", "c": "torchvision:CIFAR10"}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--port", "65536"], "--port: Input should be less than or equal to 65535"),
        (["--port", "many"], "--port: Input should be a valid integer"),
        (
            ["--deterministic-chunk", "-1"],
            "--deterministic-chunk: Input should be greater than or equal to 0",
        ),
        (
            ["--log-level", "loud"],
            "--log-level: Input should be 'debug', 'info', 'warning' or 'error' (is 'loud')",
        ),
        (["--device", "abacus"], "--device: "),
        (["--dataset", "nameless"], "--dataset: must be NAME=URI"),
        (["--dataset", "a/b=digits"], "--dataset: must be NAME=URI"),
        (["--dataset", "empty="], "--dataset: must be NAME=URI"),
        (["--settings", "/no/such/file"], "/no/such/file"),
        (["--colour", "red"], "--colour"),
        (["--por", "1"], "--por"),
    ],
)
def test_wrong_flags_are_named(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(flags, capsys)


def test_all_wrong_settings_are_told_with_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "striate.toml"
    file.write_text("queue_size = 0\ncolour = 'red'")
    monkeypatch.setenv("STRIATE_PORT", "-1")
    told = refused(["--threads", "-2", "--settings", str(file)], capsys).splitlines()
    assert len(told) == 4
    for start in ("--threads: ", "STRIATE_PORT: ", f"{file}: queue_size: ", f"{file}: colour: "):
        assert any(line.startswith(f"striate-server: {start}") for line in told)


def test_a_file_that_is_no_toml_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "striate.toml"
    for text in (b"port 1", b"\xff\xfe", b'settings = "other.toml"', b"models = 3"):
        file.write_bytes(text)
        assert str(file) in refused(["--settings", str(file)], capsys)


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        load_settings(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for name in Settings.model_fields.keys() - {"models"}:
        assert f"--{name.replace('_', '-')} " in text
