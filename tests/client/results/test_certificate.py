"""What a picture is worth."""

import striate
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_pictures import UNITS
from tests.client.fakes.fakes_server import DATASET_SIZE


def test_certificates(net: striate.Model) -> None:
    one, two = net.visualize(["stem:0", "stem:1"], dataset="digits")
    assert two.certificate == striate.Certificate(
        activation=1,
        held_out=0.5,
        held_out_minimum=-1,
        dataset_maximum=2,
        ratio=0.5,
        held_out_ratio=0.25,
        percentile=0.5,
        dataset="digits",
        images=DATASET_SIZE,
        rank=1,
        units=UNITS,
        relative_rank=None,
        seed_activations=(1, 2),
        attempts=3,
        seed=2**40,
        learning_rate=0.25,
        contrast=2.5,
        size=(12, 16),
        appearance=striate.Appearance(0.25, 0.5, 0.75),
    )
    assert one.certificate is not None
    assert one.certificate.ratio == 0, "0 is a value"
    html = one._repr_html_()
    for words in (
        "0 times the data set",
        "0 held out",
        "above 50.00% of its images",
        f"rank 1 of {UNITS}",
        "other seeds 1 to 2",
        "0.25 clipped, 0.5 high frequencies, saturation 0.75 at 12 x 16 pixels",
    ):
        assert words in html
    assert net.visualize("stem:0").certificate is None
    bare = striate.Certificate.read(pb.Certificate(activation=3))
    assert (bare.ratio, bare.percentile, bare.rank, bare.dataset, str(bare)) == (
        None,
        None,
        None,
        "",
        "",
    )


def test_how_a_picture_looks_stands_beside_the_data_set() -> None:
    message = pb.Certificate(
        height=8,
        width=8,
        appearance=pb.Appearance(clipped=0.5),
        dataset_appearance=pb.Appearance(saturation=0.25),
    )
    found = striate.Certificate.read(message)
    assert found.dataset_appearance == striate.Appearance(0, 0, 0.25)
    assert str(found) == (
        "0.5 clipped, 0 high frequencies, saturation 0 (data set 0 clipped, 0 high frequencies, "
        "saturation 0.25) at 8 x 8 pixels"
    )
    bare = striate.Certificate.read(pb.Certificate())
    assert (bare.size, bare.appearance, bare.dataset_appearance) == (None, None, None)


def test_why_there_is_no_ratio_stands_in_the_line() -> None:
    message = pb.Certificate(percentile=0.25, no_ratio="stem:1 is below 0 on no image")
    found = striate.Certificate.read(message)
    assert found.ratio is None
    assert str(found) == "above 25.00% of its images, stem:1 is below 0 on no image"
