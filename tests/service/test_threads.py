"""A turn that can be taken away."""

import threading

from service.threads import Turn


def test_a_turn_that_was_taken_away_goes_to_the_next() -> None:
    turn, order = Turn(), list[str]()
    inside, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        with turn.of("hangs"):
            inside.set()
            go_on.wait(60)
        order.append("hangs")

    thread = threading.Thread(target=hang)
    thread.start()
    assert inside.wait(60)
    turn.take_away("somebody else")  # changes nothing
    turn.take_away("hangs")
    with turn.of("next"):
        order.append("next")
        go_on.set()
        thread.join()  # its leaving does not take the turn from this one
        assert turn._holder == "next"
    assert order == ["next", "hangs"]
