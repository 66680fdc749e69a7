"""Which row of an upload is at fault."""

import pytest

from service.rpc.validation import InvalidField
from service.rpc.wire.robustness import uploads
from striate.v1 import audit_pb2 as pb
from striate.v1 import types_pb2


def test_labels_are_counted_from_the_first_image_of_all_messages() -> None:
    images = types_pb2.ImageBatch(encoded=[b"first", b"second"])
    message = pb.UploadDatasetRequest(images=images, labels=[0, 7])
    with pytest.raises(InvalidField) as caught:
        uploads.rows(message, 40, ("even", "odd"))
    assert caught.value.field == "labels[41]"
