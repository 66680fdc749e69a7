"""Tables of a settings file that describe a user's own networks."""

from pathlib import Path

import pytest

from service.config import load_settings
from tests.service.config.toys_config import refused


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
    ("table", "told"),
    [
        ('weights = "x.pth"', "must have either factory or architecture"),
        ('factory = "a:b"\narchitecture = "resnet18"', "must have either factory or architecture"),
        ('architecture = "resnet18"\nsource = "hf:a/b"', "or else source"),
        ('source = "resnet18"', "source: String should match pattern"),
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


def test_the_folder_of_a_source_starts_at_the_files_folder(tmp_path: Path) -> None:
    file = tmp_path / "striate.toml"
    file.write_text(
        """
        [models.beside]
        source = "hf:./nets/flowers"
        [models.elsewhere]
        source = "hf:/nets/flowers"
        [models.hub]
        source = "hf:microsoft/resnet-18"
        """
    )
    models = load_settings(["--settings", str(file)]).models
    assert models["beside"].source == f"hf:{tmp_path}/nets/flowers"
    assert models["elsewhere"].source == "hf:/nets/flowers"
    assert models["hub"].source == "hf:microsoft/resnet-18"
