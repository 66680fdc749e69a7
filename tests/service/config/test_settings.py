"""The settings object, and the page that is written from it."""

import pytest
from pydantic import ValidationError

from service.config import ModelTable, Settings
from service.config.sources import SETTABLE, flag, variable
from tools.settings_page import PAGE, page


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("model", [Settings, ModelTable])
def test_every_setting_says_what_it_is(model: type[Settings] | type[ModelTable]) -> None:
    fields = {name: field for name, field in model.model_fields.items() if name != "models"}
    assert not [name for name, field in fields.items() if not field.description]


def test_the_page_names_every_setting_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name in SETTABLE:
        assert sum(f"`{flag(name)}`" in row and f"`{variable(name)}`" in row for row in rows) == 1
    for key in ModelTable.model_fields:
        assert any(row.startswith(f"| `{key}` |") for row in rows)
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert page() == text  # the same on every machine


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.settings_page"
