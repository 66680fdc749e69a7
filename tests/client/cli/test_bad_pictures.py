"""Pictures that cannot be used: named by their files, and left out where that is asked for."""

from typing import Any, cast

import pytest
from google.longrunning.operations_pb2 import Operation
from google.rpc import error_details_pb2
from grpc import StatusCode

from striate._cli.screen import ProgressBar
from striate._rpc.batching import send
from striate._rpc.caller import Caller
from striate.errors import BadImage
from striate.images import naming
from striate.v1 import exemplars_pb2, types_pb2
from tests.client.fakes.fakes_server import DATASET_SIZE, failure, finished, reason, running
from tests.client.toys_cli import Cli

FILES = [f"{number}.png" for number in range(20)]


class RefusingCaller:
    """Refuses the second image of every message but the first, as a server does."""

    def deadline(self, timeout: float | None) -> "RefusingCaller":
        """Itself."""
        return self

    def remaining(self) -> None:
        """No deadline."""

    def unary(self, method: object, message: range, timeout: float | None, name: str) -> Any:
        """The response to the first message, the error of the others."""
        if not message.start:
            return types_pb2.Provenance()
        field = "images.encoded[1]"
        raise BadImage(f"{field}: is none", fields={field: "is none"}, request_id=name)


def test_a_bad_picture_of_many_messages_is_named_by_its_file() -> None:
    spans = [range(8), range(8, 16), range(16, 20)]

    def classify() -> None:
        caller = cast(Caller, RefusingCaller())
        send(caller, cast(Any, None), spans, cast(Any, lambda rows: rows), None)

    with pytest.raises(BadImage, match=r"^images\.encoded\[9\]: is none$") as caught:
        classify()
    assert caught.value.fields == {"images.encoded[9]": "is none"}
    with pytest.raises(BadImage, match=r"^9\.png: is none$"), naming(FILES):
        classify()


def refusing(calls: tuple[str, ...], field: str) -> Any:
    """Makes a server refuse an image in these calls."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description="is none")
    details = error_details_pb2.BadRequest(field_violations=[violation])
    refuse = failure(StatusCode.INVALID_ARGUMENT, f"{field}: is none", reason("BAD_IMAGE"), details)

    def on_call(method: str, context: Any) -> None:
        if method.rpartition("/")[2] in calls:
            refuse(context)

    return on_call


@pytest.mark.parametrize("command", ["classify", "attack", "curve", "attribute", "audit"])
def test_errors_about_one_picture_name_its_file(cli: Cli, command: str) -> None:
    if command == "audit":
        words = [command, "tiny", "--label", "cat"]
        words += [word for picture in cli.pictures for word in ("--images", str(picture))]
    else:
        words = [command, "tiny", *map(str, cli.pictures)]
    third, fourth = cli.pictures[2:]
    fourth.write_bytes(b"")  # refused before it is sent
    assert cli.run(*words).stderr.startswith(f"striate: {fourth}: an encoded image must have")
    fourth.write_bytes(third.read_bytes())

    if command == "audit":
        return  # the server refuses what it has read, see test_upload
    cli.fake.on_call = refusing(("Classify", "Attack", "Attribute"), "images.encoded[2]")
    assert cli.run(*words).stderr.startswith(f"striate: {third}: is none")


def test_an_error_about_a_label_names_the_picture_too(cli: Cli) -> None:
    labels = ("--labels", "cat,crane2,cat,cat")
    for words in (("attack", "tiny"), ("curve", "tiny")):
        shown = cli.run(*words, *cli.pictures, *labels).stderr
        assert f"labels[1], of {cli.pictures[1]}: no class is called 'crane2'" in shown


def test_the_only_picture_and_the_start_are_named(cli: Cli) -> None:
    picture = cli.pictures[0]
    cases = {
        ("activations", "tiny", picture, "stem"): "image",
        ("visualize", "tiny", "stem:0", "--start", picture, "--out", cli.folder): (
            "start.encoded[0]"
        ),
    }
    for words, field in cases.items():
        cli.fake.on_call = refusing(("GetActivations", "Visualize"), field)
        assert cli.run(*words).stderr.startswith(f"striate: {picture}: is none")


def leaving_out(name: str) -> Operation:
    """A finished index that leaves out twelve images."""
    operation, response = finished(name), exemplars_pb2.BuildExemplarIndexResponse()
    operation.response.Unpack(response)
    metadata = exemplars_pb2.BuildExemplarIndexMetadata()
    operation.metadata.Unpack(metadata)
    metadata.images_left_out = 12
    operation.metadata.Pack(metadata)
    images = [types_pb2.LeftOutImage(id=i, name=f"n{i}", reason="is none") for i in range(12)]
    response.left_out.CopyFrom(types_pb2.LeftOut(count=12, images=images))
    operation.response.Pack(response)
    return operation


def test_what_an_index_left_out_is_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("index", "tiny", "--dataset", "digits", "--layer", "stem", "--skip-bad")
    cli.fake.operation_script.append(leaving_out("operations/1"))
    report = cli.json(*words)["report"]
    assert report["images_left_out"] == 12
    assert report["left_out"][3] == {"id": 3, "name": "n3", "reason": "is none"}
    assert cli.fake.requests("BuildExemplarIndex")[0].skip_bad
    cli.fake.operations.clear()
    cli.fake.operation_script.extend([running("operations/1", 0), leaving_out("operations/1")])
    bars = list[tuple[int, int, str]]()
    monkeypatch.setattr(ProgressBar, "update", lambda self, *shown: bars.append(shown))
    shown = cli.run(*words).stdout
    assert bars[-1] == (DATASET_SIZE, DATASET_SIZE, "12 left out")
    listed = cli.run("operations").stdout
    assert f"{DATASET_SIZE} of {DATASET_SIZE} images, 12 of them left out" in listed
    assert "12 images could not be used and were left out" in shown
    assert "3 n3: is none" in shown
    assert "and 2 more" in shown


def test_exemplars_whose_images_are_bad_are_listed(cli: Cli) -> None:
    words = ("exemplars", "tiny", "stem:1", "--dataset", "digits")
    cli.fake.bad_samples = {11}
    assert len(cli.json(*words)["exemplars"]) == 3
    found = cli.json(*words, "--skip-bad")
    assert [one["id"] for one in found["exemplars"]] == [10, 12]
    assert found["left_out"] == [{"id": 11, "name": "1.png", "reason": "is none"}]
    shown = cli.run(*words, "--skip-bad").stdout
    assert f"of {DATASET_SIZE} images (1 more could not be used)" in shown
    assert "11 1.png: is none" in shown
