"""Messages of models: what loading found odd, and the promise that odd networks cannot keep."""

from dataclasses import replace

import pytest
from torch import nn

from interp.network.network import Network
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire.models import check_deterministic, model_info
from service.rpc.wire.provenance import provenance
from tests.service.rpc.handlers.toys_hosted import DIGITS, hosting


@pytest.fixture(scope="module")
def sound() -> HostedModel:
    with hosting(DIGITS) as hosted:
        return hosted.zoo.get(DIGITS)


@pytest.fixture(scope="module")
def odd(sound: HostedModel) -> HostedModel:
    """Normalizes by the statistics of its batch."""
    norm = nn.BatchNorm2d(1, track_running_stats=False)
    module = nn.Sequential(norm, nn.Flatten(), nn.Linear(32 * 32, 10))
    network = Network(module, (1, 32, 32), [0.5], [0.5])
    return replace(sound, name="odd", network=network, warnings=tuple(network.doubts))


def test_a_sound_network_keeps_the_promise(sound: HostedModel) -> None:
    check_deterministic(sound, True, "deterministic")
    assert not provenance(sound).warnings
    assert not model_info(sound).warnings


def test_a_network_whose_rows_depend_on_their_company(odd: HostedModel) -> None:
    check_deterministic(odd, False, "deterministic")
    with pytest.raises(InvalidField, match="depend on the other images") as caught:
        check_deterministic(odd, True, "settings.deterministic")
    assert caught.value.field == "settings.deterministic"
    assert list(model_info(odd).warnings) == list(odd.warnings)
    (warning,) = provenance(odd).warnings
    assert warning.startswith("odd: the logits of an image depend on the other images")
