"""What may be forgotten is forgotten in time, and sessions end."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from striate_web import sessions
from striate_web.memory import Pictures, Recent
from striate_web.sessions import Sessions


def png(side: int, colour: int = 0) -> bytes:
    """A square picture."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 40 + colour).save(file, "PNG")
    return file.getvalue()


def test_what_was_used_longest_ago_is_forgotten() -> None:
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_pictures_are_held_to_a_size_and_never_the_last_is_lost() -> None:
    first, second = png(32), png(32, 1)
    pictures = Pictures(len(first) + len(second) - 1)
    one, two = pictures.put(first), pictures.put(second)
    assert pictures.get(one) is None
    assert pictures.get(two) == second
    assert Pictures(1).put(first) == one


def test_a_thumbnail_is_smaller_and_a_small_picture_stays_as_it_is() -> None:
    pictures = Pictures()
    large, small = pictures.put(png(200)), pictures.put(png(32))
    thumbnail = pictures.thumbnail(large, 96)
    assert thumbnail is not None
    assert Image.open(io.BytesIO(thumbnail)).size == (96, 96)
    assert pictures.thumbnail(small, 96) == pictures.get(small)
    assert pictures.thumbnail("0" * 64, 96) is None


def test_a_token_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept = Sessions()
    visitor = kept.sign_in("secret")
    now[0] += sessions.LIFETIME - 1
    assert kept.token(visitor) == "secret"
    now[0] += sessions.LIFETIME - 1
    assert kept.token(visitor) == "secret", "it was used in between"
    now[0] += sessions.LIFETIME + 1
    assert kept.token(visitor) == ""


def test_proofs_are_a_visitors_own_and_a_microscopes_own() -> None:
    here, there = Sessions(), Sessions()
    mine, hers = here.new_visitor(), here.new_visitor()
    assert here.proven(mine, here.proof(mine))
    assert not here.proven(mine, here.proof(hers))
    assert not here.proven(mine, there.proof(mine))
    assert not here.proven(mine, "é")
    assert here.visitor("guessed") != "guessed"
    assert here.visitor(mine) == mine


def test_so_many_are_signed_in_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MOST", 2)
    kept = Sessions()
    first, *others = [kept.sign_in(name) for name in "abc"]
    assert kept.token(first) == ""
    assert [kept.token(one) for one in others] == ["b", "c"]
