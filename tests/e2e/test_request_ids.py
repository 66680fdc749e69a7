"""Every result says under which id the server's log has its request."""

import numpy as np

import striate
from striate.provenance import Provenance

UNIT = "c3:1"


def test_every_result_has_the_id_of_its_request(
    service: striate.Service, net: striate.Model
) -> None:
    images = np.random.default_rng(0).random((2, 1, 32, 32), dtype=np.float32)
    service.build_index(net.name, dataset="digits", layers=["c3"], limit=64).wait()
    found: dict[str, Provenance] = {
        "classify": net.classify(images).provenance,
        "attack": net.attack(images, 0, striate.FGSM()).provenance,
        "attribute": net.attribute(images, "saliency").provenance,
        "hooked": net.attribute(images, "grad-cam", target=0).provenance,
        "visualize": net.visualize(UNIT, steps=2).provenance,
        "activations": net.activations(images[:1], "c3").provenance,
        "filters": net.filters().provenance,
        "tuning": net.tuning(orientations=4, wavelengths=[8], phases=1).provenance,
        "exemplars": net.exemplars(UNIT, k=2, dataset="digits").provenance,
        "statistics": net.statistics(UNIT, dataset="digits").provenance,
        "dossier": net.dossier(UNIT, dataset="digits", steps=2, attack_steps=1).provenance,
    }
    assert not [name for name, one in found.items() if not one.request_id]
    assert len({one.request_id for one in found.values()}) == len(found)
