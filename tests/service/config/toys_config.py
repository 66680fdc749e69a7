"""Settings that end the process."""

import pytest

from service.config import load_settings


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is told of wrong settings, which end the process with code 2."""
    with pytest.raises(SystemExit) as exit_:
        load_settings(argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error
