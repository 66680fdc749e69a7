"""Pictures that cannot be used: named by their files, and left out where that is asked for."""

from pathlib import Path
from typing import Any, cast

import pytest
from google.longrunning.operations_pb2 import Operation

from striate._cli.images import naming
from striate._rpc.batching import send
from striate._rpc.caller import Caller
from striate.errors import BadImage
from striate.v1 import exemplars_pb2, types_pb2
from tests.client.fakes.fakes_server import finished
from tests.client.toys_cli import Cli

FILES = [Path(f"{number}.png") for number in range(20)]


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


def leaving_out(name: str) -> Operation:
    """A finished index that leaves out twelve images."""
    operation, response = finished(name), exemplars_pb2.BuildExemplarIndexResponse()
    operation.response.Unpack(response)
    images = [types_pb2.LeftOutImage(id=i, name=f"n{i}", reason="is none") for i in range(12)]
    response.left_out.CopyFrom(types_pb2.LeftOut(count=12, images=images))
    operation.response.Pack(response)
    return operation


def test_what_an_index_left_out_is_listed(cli: Cli) -> None:
    words = ("index", "tiny", "--dataset", "digits", "--layer", "stem", "--skip-bad")
    cli.fake.operation_script.append(leaving_out("operations/1"))
    report = cli.json(*words)["report"]
    assert report["images_left_out"] == 12
    assert report["left_out"][3] == {"id": 3, "name": "n3", "reason": "is none"}
    assert cli.fake.requests("BuildExemplarIndex")[0].skip_bad
    cli.fake.operation_script.append(leaving_out("operations/2"))
    shown = cli.run(*words).stdout
    assert "12 images could not be used and were left out" in shown
    assert "3 n3: is none" in shown
    assert "and 2 more" in shown
