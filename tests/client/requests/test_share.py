"""With whom something is shared: a word, or several."""

import numpy as np
import pytest

from striate._requests.share import share_words
from striate._requests.upload import upload_requests
from striate.errors import InvalidArgument


def test_a_word_or_several() -> None:
    assert share_words("ann") == ["ann"]
    assert share_words(("ann", "read")) == ["ann", "read"]
    assert share_words(iter(["ann"])) == ["ann"]
    assert share_words(()) == []


@pytest.mark.parametrize("wrong", [3, None, [3], [""], "", ["a"] * 65])
def test_what_is_none(wrong: object) -> None:
    with pytest.raises(InvalidArgument, match="share"):
        share_words(wrong)  # type: ignore[arg-type]


def test_the_first_message_of_an_upload_has_it() -> None:
    images = iter(np.zeros((300, 4, 4, 3), np.uint8))
    messages = list(upload_requests(images, 0, (), share=("ann", "compute")))
    assert [list(message.share) for message in messages] == [["ann", "compute"], []]
