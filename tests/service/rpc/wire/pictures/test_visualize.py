"""What pictures are asked for is checked at the edge: every range of the contract, under the
field's full name.
"""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from interp.feature.operator import ClipSmallNorm, GaussianBlur
from interp.feature.params.cppn import CppnSpec
from interp.feature.params.fourier import FourierSpec
from interp.feature.params.maco import MacoSpec
from interp.feature.penalty import L1Penalty, L2Penalty, TotalVariationPenalty
from interp.feature.settings import PictureSettings
from interp.feature.spatial import Crop, Mirror
from interp.layer import LayerPath
from service.imaging import BadImage, Preprocessing
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire import tensors as wire_tensors
from service.rpc.wire.pictures import objective as wire_objective
from service.rpc.wire.pictures import settings as wire_settings
from service.rpc.wire.pictures import visualize as wire_visualize
from service.rpc.wire.pictures.model_at_size import ModelAtSize
from service.visualization.spec import DirectionObjective, LikenessObjective, PictureRequest
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.service.rpc.toys_studio import visualize_request

SHAPES = {"stem": (4, 8, 8), "head": (5,), "odd": (2, 3, 4, 5), "logits": (3,)}
GRAY = Preprocessing(1, 16, 16, 20, "bilinear", (0.5,), (0.5,))
MODEL = cast(
    HostedModel,
    SimpleNamespace(
        name="toy",
        preprocessing=GRAY,
        network=SimpleNamespace(
            layers=("stem", "head", "odd"),
            shape=GRAY.shape,
            classes=3,
            unavailable={},
            without_gradient=frozenset(),
        ),
        classes=("cat", "dog", "sea lion"),
    ),
)


def batch(count: int = 1, value: float = 0.25) -> types_pb2.ImageBatch:
    return types_pb2.ImageBatch(
        tensor=wire_tensors.from_array(np.full((count, 1, 16, 16), value, np.float32))
    )


def vector(*values: float, dtype: type[np.generic] = np.float32) -> types_pb2.Tensor:
    return wire_tensors.from_array(np.array(values, dtype))


def at_size(request: pb.VisualizeRequest) -> ModelAtSize:
    preprocessing = wire_settings.preprocessing(request.settings, MODEL)
    paths = wire_objective.paths(request, MODEL)
    return ModelAtSize(MODEL, SHAPES, preprocessing, preprocessing, paths)


def read(request: pb.VisualizeRequest) -> PictureRequest:
    """All checks of a request, in the order of the handler."""
    wire_visualize.objective_count(request)
    wire_settings.index_dataset(request.settings)
    where = at_size(request)
    made = wire_visualize.settings(request, where)
    return wire_visualize.picture_request(request, made, where)


def one(**fields: Any) -> pb.VisualizeRequest:
    return visualize_request(**{"objectives": ["stem:0"], **fields})


def term(**settings: Any) -> pb.VisualizeRequest:
    """A request for a composed objective of two terms, of which the second is this."""
    return pb.VisualizeRequest(
        composed=[pb.Objective(terms=[pb.Term(unit="stem:1"), pb.Term(**settings)])]
    )


def towards(**settings: Any) -> pb.VisualizeRequest:
    return term(
        direction=pb.Direction(**{"layer": "stem", "vector": vector(1, 0, 0, 0), **settings})
    )


def alike(**settings: Any) -> pb.VisualizeRequest:
    return term(
        likeness=pb.Likeness(
            **{"layer": "stem", "image": batch(), "kind": pb.LIKENESS_KIND_INVERSION, **settings}
        )
    )


def space(**settings: Any) -> pb.VisualizeRequest:
    return one(parameterization=pb.Parameterization(**settings))


def view(**settings: Any) -> pb.VisualizeRequest:
    return one(transforms=[pb.Transform(mirror=0.5), pb.Transform(**settings)])


def rule(**settings: Any) -> pb.VisualizeRequest:
    return one(regularizers=[pb.Regularizer(**settings)])


TERM = "composed[0].terms[1]"
DIRECTION, LIKENESS = f"{TERM}.direction", f"{TERM}.likeness"
REFUSED = [
    (pb.VisualizeRequest(), "objectives"),
    (pb.VisualizeRequest(objectives=["stem:0"] * 65), "objectives"),
    (one(composed=[pb.Objective()]), "composed"),
    (pb.VisualizeRequest(composed=[pb.Objective(terms=[pb.Term(unit="stem:0")])] * 65), "composed"),
    (pb.VisualizeRequest(composed=[pb.Objective()]), "composed[0].terms"),
    (
        pb.VisualizeRequest(composed=[pb.Objective(terms=[pb.Term(unit="stem:0")] * 17)]),
        "composed[0].terms",
    ),
    (one(objectives=["stem:0", "stem:4"]), "objectives[1] (unit of stem)"),
    (one(objectives=["logits"]), "objectives[0]"),
    (one(objectives=[""]), "objectives[0]"),
    (one(variants=17), "variants"),
    (one(objectives=["stem:0"] * 5, variants=13), "variants"),
    (one(diversity=pb.Diversity(layer="stem")), "diversity"),
    (one(variants=2, diversity=pb.Diversity()), "diversity.layer"),
    (one(variants=2, diversity=pb.Diversity(layer="stem:1")), "diversity.layer"),
    (one(variants=2, diversity=pb.Diversity(layer="odd")), "diversity.layer"),
    (one(variants=2, diversity=pb.Diversity(layer="stem", weight=-1)), "diversity.weight"),
    (term(), TERM),
    (term(unit="stem:0", weight=math.inf), f"{TERM}.weight"),
    (term(unit="stem:0", weight=math.nan), f"{TERM}.weight"),
    (term(unit="stem:9"), f"{TERM}.unit (unit of stem)"),
    (towards(layer=""), f"{DIRECTION}.layer"),
    (towards(layer="odd"), f"{DIRECTION}.layer"),
    (towards(vector=vector(1, 0)), f"{DIRECTION}.vector.shape"),
    (towards(vector=vector(0, 0, 0, 0)), f"{DIRECTION}.vector.data"),
    (towards(vector=vector(0, math.nan, 0, 0)), f"{DIRECTION}.vector.data"),
    (towards(vector=vector(0, math.inf, 0, 0, dtype=np.float64)), f"{DIRECTION}.vector.data"),
    (towards(vector=vector(1, 0, 0, 0, dtype=np.uint8)), f"{DIRECTION}.vector.dtype"),
    (towards(comparison=cast(Any, 9)), f"{DIRECTION}.comparison"),
    (towards(power=2), f"{DIRECTION}.power"),
    (towards(power=-2, comparison=pb.COMPARISON_DOT_COSINE), f"{DIRECTION}.power"),
    (towards(power=17, comparison=pb.COMPARISON_DOT_COSINE), f"{DIRECTION}.power"),
    (towards(row=1), f"{DIRECTION}.row"),
    (towards(row=8, column=0), f"{DIRECTION} (row)"),
    (towards(layer="head", vector=vector(1, 0, 0, 0, 0), row=0, column=0), DIRECTION),
    (alike(layer="stem:1"), f"{LIKENESS}.layer"),
    (alike(kind=0), f"{LIKENESS}.kind"),
    (alike(kind=cast(Any, 9)), f"{LIKENESS}.kind"),
    (alike(power=1), f"{LIKENESS}.power"),
    (alike(kind=pb.LIKENESS_KIND_CARICATURE, power=17), f"{LIKENESS}.power"),
    (alike(image=types_pb2.ImageBatch()), f"{LIKENESS}.image"),
    (alike(image=batch(2)), f"{LIKENESS}.image"),
    (alike(image=batch(value=2)), f"{LIKENESS}.image.tensor.data"),
    (alike(layer="logits", kind=pb.LIKENESS_KIND_STYLE), f"{LIKENESS}.layer"),
    (one(steps=4097), "settings.steps"),
    (one(learning_rate=1.5), "settings.learning_rate"),
    (one(learning_rate=-0.1), "settings.learning_rate"),
    (one(size=15), "settings.size"),
    (one(size=1025), "settings.size"),
    (space(fourier=pb.Fourier(decay=4.5)), "settings.parameterization.fourier.decay"),
    (space(fourier=pb.Fourier(decay=math.nan)), "settings.parameterization.fourier.decay"),
    (space(fourier=pb.Fourier(contrast=65)), "settings.parameterization.fourier.contrast"),
    (space(fourier=pb.Fourier(contrast=-1)), "settings.parameterization.fourier.contrast"),
    (space(cppn=pb.Cppn(depth=17)), "settings.parameterization.cppn.depth"),
    (space(cppn=pb.Cppn(width=65)), "settings.parameterization.cppn.width"),
    (space(maco=pb.Maco()), "settings.parameterization.maco.dataset"),
    (space(maco=pb.Maco(dataset="d", images=100_001)), "settings.parameterization.maco.images"),
    (
        space(maco=pb.Maco(dataset="d", transparency=100.5)),
        "settings.parameterization.maco.transparency",
    ),
    (space(maco=pb.Maco(dataset="d"), alpha=True), "settings.parameterization.alpha"),
    (rule(), "settings.regularizers[0]"),
    (rule(l1=0), "settings.regularizers[0].l1"),
    (rule(l2=-1), "settings.regularizers[0].l2"),
    (rule(total_variation=math.nan), "settings.regularizers[0].total_variation"),
    (rule(blur=pb.BlurRegularizer(sigma=0.11)), "settings.regularizers[0].blur.sigma"),
    (rule(blur=pb.BlurRegularizer(every=4097)), "settings.regularizers[0].blur.every"),
    (rule(clip=pb.ClipRegularizer(share=1)), "settings.regularizers[0].clip.share"),
    (rule(clip=pb.ClipRegularizer(every=4097)), "settings.regularizers[0].clip.every"),
    (one(regularizers=[pb.Regularizer(l1=1)] * 9), "settings.regularizers"),
    (
        one(
            regularizers=[pb.Regularizer(clip=pb.ClipRegularizer())],
            parameterization=pb.Parameterization(cppn=pb.Cppn()),
        ),
        "settings.regularizers[0].clip",
    ),
    (view(), "settings.transforms[1]"),
    (view(jitter=0.51), "settings.transforms[1].jitter"),
    (view(rotate=181), "settings.transforms[1].rotate"),
    (view(scale=0.91), "settings.transforms[1].scale"),
    (view(pad=-0.1), "settings.transforms[1].pad"),
    (view(noise=1.1), "settings.transforms[1].noise"),
    (view(mirror=1.1), "settings.transforms[1].mirror"),
    (view(crop=pb.CropTransform(side=1.1)), "settings.transforms[1].crop.side"),
    (view(crop=pb.CropTransform(deviation=1.1)), "settings.transforms[1].crop.deviation"),
    (one(transforms=[pb.Transform(jitter=0.1)] * 17), "settings.transforms"),
    (one(transforms=[pb.Transform(jitter=0.1)], without_transforms=True), "settings.transforms"),
    (one(certification=pb.Certification(seeds=17)), "settings.certification.seeds"),
    (one(certification=pb.Certification(retries=9)), "settings.certification.retries"),
    (one(certification=pb.Certification(dataset="d" * 201)), "settings.certification.dataset"),
    (one(start=batch(2)), "start"),
    (one(start=types_pb2.ImageBatch()), "start"),
    (one(start=batch(), parameterization=pb.Parameterization(cppn=pb.Cppn())), "start"),
    (one(start=batch(), parameterization=pb.Parameterization(maco=pb.Maco(dataset="d"))), "start"),
]


@pytest.mark.parametrize(
    ("request_", "field"), REFUSED, ids=[f"{i}-{field}" for i, (_, field) in enumerate(REFUSED)]
)
def test_what_is_out_of_range_is_refused_under_its_full_name(
    request_: pb.VisualizeRequest, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        read(request_)
    assert refused.value.field == field


def test_a_start_that_is_no_image_is_named() -> None:
    with pytest.raises(BadImage) as refused:
        read(one(start=types_pb2.ImageBatch(encoded=[b"no image"])))
    assert getattr(refused.value, "field", "") == "start.encoded[0]"


def test_the_defaults_are_those_of_the_contract() -> None:
    plain = read(one())
    assert plain.settings == PictureSettings(
        (1, 16, 16), parameterization=FourierSpec(1.3, 1.2), input_size=(16, 16)
    )
    assert (plain.variants, plain.diversity, plain.init_images) == (1, None, None)
    assert wire_settings.index_dataset(one().settings) == ""
    assert read(space(cppn=pb.Cppn())).settings.parameterization == CppnSpec(8, 24)
    maco = read(space(maco=pb.Maco(dataset="d"))).settings
    assert maco.parameterization == MacoSpec("d", 1000, 90.0)
    assert maco.transparent
    assert not read(space(maco=pb.Maco(dataset="d", transparency=0))).settings.transparent
    given = pb.Fourier(decay=0, contrast=3)
    assert read(space(fourier=given)).settings.parameterization == FourierSpec(0.0, 3.0)
    assert read(rule(blur=pb.BlurRegularizer())).settings.operators == (GaussianBlur(0.005, 4),)
    assert read(rule(clip=pb.ClipRegularizer())).settings.operators == (ClipSmallNorm(0.1, 4),)
    crop = view(crop=pb.CropTransform(deviation=0))
    assert read(crop).settings.transforms == (Mirror(0.5), Crop(0.25, 0.0))
    assert read(one(without_transforms=True)).settings.transforms == ()
    assert read(one(certification=pb.Certification(retries=0))).settings.retries == 0


def test_penalties_and_operators_keep_their_order() -> None:
    messages = [
        pb.Regularizer(l2=2),
        pb.Regularizer(clip=pb.ClipRegularizer()),
        pb.Regularizer(total_variation=0.25),
        pb.Regularizer(blur=pb.BlurRegularizer()),
        pb.Regularizer(l1=1),
    ]
    made = read(one(regularizers=messages)).settings
    assert made.penalties == (L2Penalty(2), TotalVariationPenalty(0.25), L1Penalty(1))
    assert made.operators == (ClipSmallNorm(0.1), GaussianBlur(0.005))


def test_pictures_that_start_at_images_keep_something_of_them() -> None:
    assert read(one(start=batch())).settings.learning_rate == 0.02
    assert read(one(start=batch(), learning_rate=0.3)).settings.learning_rate == 0.3


def test_composed_objectives_are_read_in_full() -> None:
    terms = [
        pb.Term(unit="stem:2@1,3"),
        pb.Term(
            weight=-0.5,
            direction=pb.Direction(
                layer="head", vector=vector(0, 3, 0, 4, 0), comparison=pb.COMPARISON_COSINE
            ),
        ),
        pb.Term(
            likeness=pb.Likeness(
                layer="stem", image=batch(), kind=pb.LIKENESS_KIND_CARICATURE, power=0
            )
        ),
    ]
    request = read(
        pb.VisualizeRequest(
            composed=[pb.Objective(terms=terms), pb.Objective(terms=terms[:1])], variants=2
        )
    )
    assert [str(objective) for objective in request.objectives] == [
        *["stem:2@1,3 - 0.5 * cosine(head) + caricature(stem)"] * 2,
        *["stem:2@1,3"] * 2,
    ]
    unit, direction, like = (one.kind for one in request.objectives[0].terms)
    assert unit == LayerPath("stem", 2, (1, 3))
    assert isinstance(direction, DirectionObjective)
    assert (direction.comparison, direction.position, direction.vector.tolist()) == (
        "cosine",
        None,
        [0, 0.75, 0, 1, 0],
    )
    assert isinstance(like, LikenessObjective)
    assert like.power == 0
    assert torch.equal(like.image, torch.full((1, 1, 16, 16), 0.25))
    assert [objective.unit for objective in request.objectives[1:3]] == [
        None,
        LayerPath("stem", 2, (1, 3)),
    ]  # a sum is no unit's activation


@pytest.mark.parametrize("size", [1e30, 1e-30, 1e300, 1e-300])
def test_a_direction_may_have_any_length(size: float) -> None:
    """Also one that is not a number of 32 bits, or whose square is not."""
    kind = np.float32 if 1e-38 < size < 1e38 else np.float64
    request = towards(vector=vector(3 * size, 0, -4 * size, 0, dtype=kind))
    direction = read(request).objectives[0].terms[1].kind
    assert isinstance(direction, DirectionObjective)
    torch.testing.assert_close(direction.vector, torch.tensor([0.75, 0, -1, 0]))


def test_the_largest_blur_is_taken() -> None:
    (blur,) = read(rule(blur=pb.BlurRegularizer(sigma=0.1))).settings.operators
    assert blur == GaussianBlur(0.1)


def test_the_centre_is_a_neuron_of_the_map() -> None:
    (objective,) = read(one(objectives=["stem:2@center"])).objectives
    assert objective.unit == LayerPath("stem", 2, (4, 4))  # of 8 x 8
    assert str(objective) == "stem:2@4,4"
    with pytest.raises(InvalidField, match="has no rows and columns"):
        read(one(objectives=["head:2@center"]))


def test_what_is_wrong_is_said_once() -> None:
    with pytest.raises(InvalidField) as caught:
        read(one(objectives=[""]))
    assert str(caught.value) == "objectives[0]: is required"


def test_a_weighted_unit_or_a_layer_is_not_a_unit_alone() -> None:
    half = pb.VisualizeRequest(composed=[pb.Objective(terms=[pb.Term(unit="stem:1", weight=0.5)])])
    assert read(half).objectives[0].unit is None
    assert read(one(objectives=["stem"])).objectives[0].unit is None


def test_another_size_sees_the_same_share_of_an_image() -> None:
    seen = wire_settings.preprocessing(one(size=64).settings, MODEL)
    assert (seen.height, seen.width, seen.resize) == (64, 64, 80)


def test_memory_grows_with_what_is_asked_for() -> None:
    def held(request: pb.VisualizeRequest, pictures: int = 1) -> int:
        where = at_size(request)
        made = wire_visualize.settings(request, where)
        likenesses = wire_visualize.likeness_bytes(request, made, where)
        return wire_visualize.picture_bytes(made, pictures) + likenesses

    assert held(one(), 64) == 64 * held(one()) > 64 * 4 * 16 * 16
    assert held(space(cppn=pb.Cppn(depth=16, width=64))) > held(one()) + 4 * 16 * 16 * 16 * 64
    assert held(alike()) > held(one()) + 4 * 4 * 8 * 8


def test_gram_matrices_grow_with_the_square_of_the_units() -> None:
    def grams(request: pb.VisualizeRequest) -> int:
        return wire_visualize.gram_bytes(request, 2, at_size(request))

    assert grams(alike()) == 0
    assert grams(alike(kind=pb.LIKENESS_KIND_STYLE)) >= 2 * 4 * 4**2
    assert grams(one(variants=2, diversity=pb.Diversity(layer="head"))) >= 2 * 4 * 5**2
