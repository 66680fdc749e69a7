"""The command line against the fake server."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from striate._cli.main import app
from tests.client.fakes_server import Fake, png


class Cli:
    """Runs commands against the fake server."""

    def __init__(self, fake: Fake, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        self.pictures = [folder / f"{name}.png" for name in "abcd"]
        for value, path in enumerate(self.pictures):
            path.write_bytes(png(4, 5, value))

    def run(self, *words: object) -> Any:
        return CliRunner().invoke(app, [*map(str, words), "--server", self.fake.target])

    def json(self, *words: object, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)
