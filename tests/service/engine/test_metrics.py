"""Labels that callers could choose are bounded."""

from service.engine.metrics import Metrics


def test_only_known_callers_have_a_label_of_their_own() -> None:
    metrics = Metrics()
    assert metrics.identity("ci") == "other"
    metrics.identities = lambda: {"ci"}
    assert [metrics.identity(name) for name in ("ci", "somebody", "")] == ["ci", "other", ""]


def test_models_beyond_a_number_share_a_label() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.gradients(f"model{number}", 1)
        metrics.gradients("model0", 1)

    def count(model: str) -> float | None:
        return metrics.registry.get_sample_value("striate_image_gradients_total", {"model": model})

    assert count("model0") == 1001
    assert count("model199") == 1
    assert count("model200") is None
    assert count("other") == 800
