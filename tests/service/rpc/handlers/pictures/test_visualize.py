"""Visualize and FindFacets, from request to message, held against the library and against brute
force.
"""

import asyncio
import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from interp.feature.appearance import appearance
from interp.layer import LayerPath
from interp.objective import activation
from service.index.types import IndexPlan, Subject
from service.rpc.validation import InvalidField
from service.rpc.wire import tensors as wire_tensors
from service.visualization.errors import UnfitObjective
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.service.rpc.toys_studio import CALL, NAME, Studio, run, studio

T, P = pb.Term, pb.Parameterization


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def noise(count: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def batch(images: torch.Tensor) -> types_pb2.ImageBatch:
    return types_pb2.ImageBatch(tensor=wire_tensors.from_array(images.numpy()))


def shown(result: pb.VisualizeResult) -> torch.Tensor:
    """The pictures (N, C, H, W) as floats."""
    return torch.from_numpy(wire_tensors.to_array(result.tensor, "tensor").copy())


def with_studio(scenario: Any, folder: Path, **options: Any) -> None:
    async def start() -> None:
        async with studio(folder, **options) as place:
            await scenario(place)

    run(start)


def test_composed_objectives_reach_what_they_say(tmp_path: Path) -> None:
    """The activation of each answer is its own formula, computed on the picture that is
    returned.
    """
    vector, target = torch.arange(16.0) - 5, noise(seed=3)
    like: dict[str, Any] = {"layer": "c3", "image": batch(target)}
    terms = [
        [T(unit="c3:4"), T(unit="f6:1", weight=-0.5)],
        [
            T(
                direction=pb.Direction(
                    layer="c3",
                    vector=wire_tensors.from_array(vector.numpy()),
                    comparison=pb.COMPARISON_COSINE,
                )
            )
        ],
        [
            T(
                direction=pb.Direction(
                    layer="c3", vector=wire_tensors.from_array(vector.numpy()), row=2, column=5
                )
            )
        ],
        [T(likeness=pb.Likeness(kind=pb.LIKENESS_KIND_INVERSION, **like), weight=2)],
        [T(likeness=pb.Likeness(kind=pb.LIKENESS_KIND_STYLE, **like))],
    ]

    async def scenario(place: Studio) -> None:
        result = await place.visualize(
            composed=[pb.Objective(terms=t) for t in terms], steps=5, include_tensor=True
        )
        found = place.model.network.activations(shown(result), ["c3", "f6"])
        c3, f6 = found["c3"].flatten(2), found["f6"]  # (5, 16, P), (5, 84)
        t = place.model.network.activations(target, ["c3"])["c3"].flatten(2)[0]
        gram, wanted = c3[4] @ c3[4].T, t @ t.T
        expected = [
            c3[0, 4].mean() - f6[0, 1] / 2,
            torch.nn.functional.cosine_similarity(c3[1], vector[:, None], dim=0).mean(),
            found["c3"][2, :, 2, 5] @ vector / vector.norm(),
            -2 * (c3[3] - t).square().sum() / t.square().sum(),
            -(gram - wanted).square().sum() / wanted.square().sum(),
        ]
        assert [v.activation for v in result.visualizations] == pytest.approx(
            [float(e) for e in expected], rel=1e-4
        )
        assert not any(v.certificate.HasField("rank") for v in result.visualizations)

    with_studio(scenario, tmp_path)


def test_variants_differ_and_lie_in_the_order_of_the_contract(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        diversity = pb.Diversity(layer="c3", weight=5)
        result = await place.visualize(
            objectives=["c3:1", "c3:2"],
            variants=3,
            steps=4,
            diversity=diversity,
            include_tensor=True,
        )
        assert [(v.objective, v.variant) for v in result.visualizations] == [
            (u, v) for u in ("c3:1", "c3:2") for v in range(3)
        ]
        assert len({v.png for v in result.visualizations}) == 6
        score = activation([LayerPath("c3", u) for u in (1, 1, 1, 2, 2, 2)])
        reached = score(place.model.network.activations(shown(result), ["c3"]))
        assert [v.activation for v in result.visualizations] == pytest.approx(
            reached.tolist(), abs=1e-4
        )  # of the unit, without diversity

    with_studio(scenario, tmp_path)


@pytest.mark.parametrize(
    ("space", "mode"),
    [
        (P(alpha=True), "RGBA"),
        (P(cppn=pb.Cppn(depth=2, width=6)), "L"),
        (P(pixels=pb.Pixels()), "L"),
        (P(maco=pb.Maco(dataset="digits", images=20)), "RGBA"),
        (P(maco=pb.Maco(dataset="digits", images=20, transparency=0)), "L"),
    ],
)
def test_every_parameterization_gives_pictures(
    tmp_path: Path, space: pb.Parameterization, mode: str
) -> None:
    async def scenario(place: Studio) -> None:
        result = await place.visualize(
            objectives=["c3:4", "f6:2"], steps=3, parameterization=space, size=32
        )
        assert [opened(v.png).mode for v in result.visualizations] == [mode] * 2
        assert [opened(v.png).size for v in result.visualizations] == [(32, 32)] * 2
        assert len(list((tmp_path / "spectra").glob("*"))) == bool(space.maco.dataset)

    with_studio(scenario, tmp_path)


def test_pictures_begin_at_the_images_given(tmp_path: Path) -> None:
    start = noise(2) / 2 + 0.25

    async def scenario(place: Studio) -> None:
        settings = {
            "steps": 1,
            "learning_rate": 1e-6,
            "without_transforms": True,
            "variants": 2,
            "include_tensor": True,
        }
        result = await place.visualize(objectives=["c3:1", "c3:2"], start=batch(start), **settings)
        assert (
            shown(result) - start.repeat_interleave(2, 0)
        ).abs().max() < 0.1  # the start's own noise
        assert (shown(result)[:2] - start[1]).abs().max() > 0.3

    with_studio(scenario, tmp_path)


def test_what_is_too_much_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        network = cast(Any, place.model.network)  # as if it had a layer of many units
        network.layers, network.output_shapes["wide"] = (*network.layers, "wide"), (1000,)
        settings = [
            ({"objectives": ["c1:1"], "size": 1024}, "settings.size"),
            (
                {
                    "objectives": ["c3:1"] * 60,
                    "size": 64,
                    "parameterization": P(cppn=pb.Cppn(depth=16, width=64)),
                },
                "settings.size",
            ),
            (
                {"objectives": ["c3:1"] * 8, "variants": 8, "diversity": pb.Diversity(layer="c3")},
                "diversity",
            ),
            (
                {"objectives": ["c3:1"], "variants": 16, "diversity": pb.Diversity(layer="wide")},
                "diversity.layer",
            ),
        ]
        for wanted, field in settings:
            with pytest.raises(InvalidField) as refused:
                await place.visualize(**cast(Any, wanted))
            assert refused.value.field == field
        assert place.engine.ticks == 0

    with_studio(scenario, tmp_path, memory=8_000_000)


def test_a_deterministic_pass_must_fit_with_all_its_rows(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        assert 1e6 < place.model.bytes_per_row * 16 < 4e6  # a picture of 128 x 128 fits, 8 do not
        wide: dict[str, Any] = {"size": 128, "steps": 1}
        assert len((await place.visualize(objectives=["c1:1"], **wide)).visualizations) == 1
        with pytest.raises(InvalidField, match="pass of 8 pictures") as refused:
            await place.visualize(objectives=["c1:1"], deterministic=True, **wide)
        assert refused.value.field == "settings.size"
        with pytest.raises(InvalidField) as refused:
            await place.layer("c1", count=1, **wide)
        assert refused.value.field == "settings.size"

    with_studio(scenario, tmp_path, memory=8_000_000)


def test_a_likeness_of_what_a_layer_does_not_see_is_refused(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        for weight in ("weight", "bias"):
            getattr(place.model.network.module.get_submodule("c3"), weight).data.zero_()
        like = pb.Likeness(kind=pb.LIKENESS_KIND_INVERSION, layer="c3", image=batch(noise()))
        with pytest.raises(UnfitObjective, match="0 everywhere"):
            await place.visualize(composed=[pb.Objective(terms=[T(likeness=like)])])

    with_studio(scenario, tmp_path)


async def _built(place: Studio, layer: str, count: int, k: int) -> torch.Tensor:
    """Index the first digits; returns them as the network sees them, (count, 1, 32, 32)."""
    dataset = place.datasets.get("digits")
    seen = place.model.preprocessing
    shapes = {layer: place.model.network.output_shapes[layer]}
    plan = IndexPlan(Subject.of(place.model.name, place.model.digest, dataset), shapes, k, count)

    def prepare(data: bytes) -> Any:
        return seen.apply(opened(data))

    await asyncio.to_thread(
        place.index.build, plan, dataset, prepare, lambda p: place.engine.submit(place.model, p)
    )
    return (
        torch.from_numpy(np.stack([prepare(s.image) for s in dataset.read(0, count)])).float() / 255
    )


def test_the_certificate_is_that_of_brute_force(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        images = await _built(place, "c3", 60, 4)
        maps = place.model.network.activations(images, ["c3"])["c3"].flatten(2)  # (60, 16, P)
        means, peaks = maps.mean(2), maps.amax(2)
        unit = int(means.amax(0).argmax())  # one whose maximum is above 0
        wanted = [f"c3:{unit}", "c3:9@2,3", "c3", "f6:1"]
        result = await place.visualize(
            objectives=wanted,
            steps=25,
            include_tensor=True,
            certification=pb.Certification(retries=0, seeds=1),
        )
        own = place.model.network.activations(shown(result), ["c3"])["c3"]
        channel, neuron, layer, other = (v.certificate for v in result.visualizations)
        assert channel.dataset_maximum == pytest.approx(float(means[:, unit].max()), rel=1e-4)
        assert neuron.dataset_maximum == pytest.approx(float(peaks[:, 9].max()), rel=1e-4)
        assert channel.ratio == pytest.approx(
            channel.activation / channel.dataset_maximum, rel=1e-5
        )
        assert channel.percentile == pytest.approx(
            float((means[:, unit] < channel.activation).float().mean()), abs=1e-6
        )
        assert neuron.percentile == pytest.approx(
            float((peaks[:, 9] < neuron.activation).float().mean()), abs=1e-6
        )
        values = own[0].flatten(1).mean(1)
        assert channel.rank == int((values >= values[unit]).sum())
        assert (channel.dataset, channel.images, channel.units) == ("digits", 60, 16)
        assert len(channel.seed_activations) == 1
        looks, own_look = appearance(images), channel.dataset_appearance
        for name in ("clipped", "high_frequencies", "saturation"):
            wanted_mean = getattr(looks, name).mean().item()
            assert getattr(own_look, name) == pytest.approx(wanted_mean, abs=1e-4)
        assert own_look.clipped > 0.3, "much of a digit is black"
        assert not layer.HasField("ratio")  # no one unit
        assert not other.HasField("ratio")  # no index
        assert other.HasField("rank")

    with_studio(scenario, tmp_path)


def test_a_smaller_picture_is_shown_at_the_networks_own_size(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        result = await place.visualize(
            objectives=["c3:4", "logits:2"],  # whose linear layers take 32 pixels alone
            steps=3,
            size=20,
            include_tensor=True,
            certification=pb.Certification(retries=0),
        )
        assert [opened(v.png).size for v in result.visualizations] == [(20, 20)] * 2
        seen = F.interpolate(shown(result), size=(32, 32), mode="bilinear", align_corners=False)
        maps = place.model.network.activations(seen, ["c3", "logits"])
        expected = [maps["c3"][0, 4].mean(), maps["logits"][1, 2]]
        for one, wanted, picture in zip(result.visualizations, expected, seen, strict=True):
            found = one.certificate
            assert found.activation == pytest.approx(wanted.item(), rel=1e-4, abs=1e-5)
            assert (found.height, found.width) == (32, 32)
            assert not found.HasField("dataset_appearance")
            assert found.appearance.saturation == 0
            high = appearance(picture[None]).high_frequencies.item()
            assert found.appearance.high_frequencies == pytest.approx(high, rel=1e-3)

    with_studio(scenario, tmp_path)


def test_facets_share_out_the_exemplars(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        images = await _built(place, "c3", 80, 12)
        request = pb.FindFacetsRequest(
            model=NAME,
            settings=pb.PictureSettings(steps=3),
            unit="c3:2",
            dataset="digits",
            facets=3,
        )
        found = await place.handlers.FindFacets(request, CALL)
        hits = place.index.find(
            Subject.of(NAME, place.model.digest, place.datasets.get("digits")),
            "c3",
            2,
            12,
        ).hits
        order = [hit.id for hit in hits]
        assert found.by_layer == "s2"  # c3 is a convolution of what s2 pools
        assert len(found.facets) == 3
        assert sorted(i for facet in found.facets for i in facet.ids) == sorted(order)
        assert [facet.share for facet in found.facets] == pytest.approx(
            [len(facet.ids) / 12 for facet in found.facets]
        )
        assert [facet.share for facet in found.facets] == sorted(
            (facet.share for facet in found.facets), reverse=True
        )
        for facet in found.facets:
            assert sorted(facet.ids, key=order.index) == list(facet.ids)
            assert len(facet.crops) == min(4, len(facet.ids))
            assert facet.visualization.certificate.dataset == "digits"
            first = np.asarray(opened(facet.crops[0]))
            hit = hits[order.index(facet.ids[0])]
            whole = (images[hit.id, 0].numpy() * 255).round().astype(np.uint8)
            field = next(info.receptive_field for info in place.model.layers if info.name == "c3")
            assert field is not None
            top, left = (
                hit.row * field.jump_y + field.offset_y,
                hit.column * field.jump_x + field.offset_x,
            )
            assert np.array_equal(
                first, whole[max(top, 0) : top + field.height, max(left, 0) : left + field.width]
            )
        assert len({facet.visualization.png for facet in found.facets}) == 3

    with_studio(scenario, tmp_path)


def test_facets_that_cannot_be_found_are_refused(tmp_path: Path) -> None:
    async def scenario(place: Studio) -> None:
        await _built(place, "c1", 20, 3)
        plain: dict[str, Any] = {"unit": "c1:2", "dataset": "digits"}
        for wanted, field in [
            (plain | {"exemplars": 4}, "exemplars"),
            (plain | {"facets": 9}, "facets"),
            (plain | {"facets": 4}, "facets"),
            (plain, "by_layer"),  # nothing comes before the first layer
            (plain | {"by_layer": "c1:1"}, "by_layer"),
            (plain | {"unit": "c1"}, "unit"),
            (plain | {"dataset": ""}, "dataset"),
            (
                plain | {"settings": pb.PictureSettings(parameterization=P(cppn=pb.Cppn()))},
                "settings.parameterization",
            ),
        ]:
            request = pb.FindFacetsRequest(model=NAME, **wanted)
            with pytest.raises(InvalidField) as refused:
                await place.handlers.FindFacets(request, CALL)
            assert refused.value.field == field

    with_studio(scenario, tmp_path)
