"""What the suite's servers answer."""

import pytest

from reqivo_core.testing.suite_app import PIECE, answer, pattern


def test_pattern_shows_where_octets_belong() -> None:
    assert pattern(10) == bytes([0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    assert pattern(300_000).startswith(pattern(70_000))
    assert pattern(0) == b""


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/hello", 200, b"hello"),
        ("/bytes/5", 200, pattern(5)),
        ("/status/404", 404, b"status 404"),
        ("/unknown", 404, b"the suite has no /unknown"),
        ("/", 404, b"the suite has no /"),
    ],
)
def test_whole_answers(path: str, status: int, body: bytes) -> None:
    told = answer("GET", path, {}, b"")
    assert (told.status, told.body, told.length, told.ending) == (status, body, len(body), "complete")


def test_echo_tells_what_came() -> None:
    told = answer("PUT", "/echo", {"x-note": "a", "content-type": "b/c", "other": "d"}, b"body")
    assert (told.body, dict(told.headers)) == (b"body", {"x-note": "a", "content-type": "b/c", "x-method": "PUT"})


@pytest.mark.parametrize("ending", ["stall", "cut"])
def test_unfinished_answers_announce_more_than_they_hold(ending: str) -> None:
    told = answer("GET", f"/{ending}/{2 * PIECE + 1}", {}, b"")
    assert (told.length, len(told.body), told.ending) == (4 * PIECE + 2, 2 * PIECE + 1, ending)
    assert [len(piece) for piece in told.pieces] == [PIECE, PIECE, 1]
