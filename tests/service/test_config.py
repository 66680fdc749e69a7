"""Settings from flags, environment, file and defaults."""

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config import Settings, load_settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STRIATE_{name.upper()}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is told of wrong settings, which end the process with code 2."""
    with pytest.raises(SystemExit) as exit_:
        load_settings(argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


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
        "--host 0.0.0.0 --port 0 --model a --model b --weights-dir w --dataset "
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


def test_a_models_table(tmp_path: Path) -> None:
    file = tmp_path / "striate.toml"
    file.write_text(
        """
        weights_dir = "weights"
        [models.mine]
        factory = "my.networks:small"
        weights = "mine.safetensors"
        mean = [0.5]
        std = [0.25]
        size = [32, 48]
        channels = 1
        labels = "names.txt"
        [models.flowers]
        architecture = "resnet18"
        weights = "/absolute/flowers.pth"
        labels = ["rose", "tulip"]
        size = 96
        interpolation = "bicubic"
        """
    )
    settings = load_settings(["--settings", str(file)])
    mine, flowers = settings.models["mine"], settings.models["flowers"]
    assert settings.weights_dir == tmp_path / "weights"
    assert (mine.factory, mine.size, mine.channels, mine.mean, mine.std) == (
        "my.networks:small",
        (32, 48),
        1,
        (0.5,),
        (0.25,),
    )
    assert (mine.weights, mine.labels) == (tmp_path / "mine.safetensors", tmp_path / "names.txt")
    assert (flowers.weights, flowers.labels) == (Path("/absolute/flowers.pth"), ("rose", "tulip"))
    assert (flowers.size, flowers.interpolation, flowers.mean) == ((96, 96), "bicubic", None)


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


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('weights = "x.pth"', "must have either factory or architecture"),
        ('factory = "a:b"\narchitecture = "resnet18"', "must have either factory or architecture"),
        ('factory = "a:b"\nmean = [0.5]', "a factory needs size, mean and std"),
        ('factory = "not a path"\nsize = 3', "factory: "),
        (
            'architecture = "resnet18"\nsize = 0',
            "size.0: Input should be greater than or equal to 1",
        ),
        ('architecture = "resnet18"\nstd = [0, 1, 1]', "std.0: Input should be greater than 0"),
        ('architecture = "resnet18"\nchannels = 2', "channels: "),
        (
            'architecture = "resnet18"\nchannels = 3\nmean = [0.5]',
            "mean must have one value for each of the 3 channels",
        ),
        (
            'factory = "a:b"\nsize = 8\nmean = [0.5, 0.5]\nstd = [1, 1]',
            "mean must have one value for each channel, 1 or 3",
        ),
        (
            'architecture = "resnet18"\nwieghts = "x"',
            "models.mine.wieghts: Extra inputs are not permitted",
        ),
    ],
)
def test_wrong_tables_are_named(
    table: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "striate.toml"
    file.write_text(f"[models.mine]\n{table}")
    error = refused(["--settings", str(file)], capsys)
    assert f"{file}: models.mine" in error
    assert told in error


def test_a_file_that_is_no_toml_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "striate.toml"
    for text in (b"port 1", b"\xff\xfe", b'settings = "other.toml"', b"models = 3"):
        file.write_bytes(text)
        assert str(file) in refused(["--settings", str(file)], capsys)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_settings([]).port = 1  # type: ignore[misc]


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        load_settings(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for name in Settings.model_fields.keys() - {"models"}:
        assert f"--{name.replace('_', '-')} " in text
