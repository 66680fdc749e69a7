"""Pictures of answers are opened as one of the few formats that the service knows."""

import io

import pytest
from PIL import EpsImagePlugin, Image

from service.imaging import FORMATS
from striate._formats.pictures import decode, formats


def test_the_client_reads_what_the_service_reads() -> None:
    assert formats() == FORMATS


@pytest.mark.parametrize("form", ["EPS", "PCX", "TGA"])
def test_other_formats_reach_no_plugin(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: ran.append(given))
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, form)
    with pytest.raises(OSError, match="cannot identify"):
        decode(file.getvalue())
    assert not ran
