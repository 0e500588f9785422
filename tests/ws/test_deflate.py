"""permessage-deflate: negotiation, and both ends of it."""

from __future__ import annotations

import zlib

import pytest

from reqivo_ws.closing import Violation
from reqivo_ws.deflate import STEP, Agreement, Deflate, Deflater, Inflater

Parameters = list[tuple[str, str | None]]


def agreed(**changes: bool | int) -> Agreement:
    settings = Deflate()
    values = {
        "server_no_context_takeover": False,
        "client_no_context_takeover": False,
        "server_window_bits": 15,
        "client_window_bits": 15,
        **changes,
    }
    return Agreement(settings=settings, **values)  # type: ignore[arg-type]  # as the dictionary has it


def deflated(data: bytes, final: bool = False) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    if final:
        return engine.compress(data) + engine.flush(zlib.Z_FINISH) + b"\x00"
    return (engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]


def whole(inflater: Inflater, data: bytes, limit: int | None = None, ends: bool = True) -> bytes:
    return b"".join(inflater.inflate(data, limit, ends))


@pytest.mark.parametrize(
    ("settings", "offer"),
    [
        (Deflate(), "permessage-deflate; client_max_window_bits"),
        (
            Deflate(server_no_context_takeover=True, client_no_context_takeover=True),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
        (
            Deflate(server_max_window_bits=12, client_max_window_bits=10),
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10",
        ),
    ],
)
def test_offers(settings: Deflate, offer: str) -> None:
    assert settings.offer() == offer


@pytest.mark.parametrize(
    "settings",
    [{"client_max_window_bits": 8}, {"server_max_window_bits": 16}, {"level": 10}, {"memory_level": 0}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Deflate(**settings)  # type: ignore[arg-type]  # as the dictionary has it


def test_w06_what_the_server_chooses_is_taken() -> None:
    answer: Parameters = [
        ("server_no_context_takeover", None),
        ("client_no_context_takeover", None),
        ("server_max_window_bits", "8"),
        ("client_max_window_bits", "9"),
    ]
    agreement = Deflate().accept(answer)
    assert (agreement.server_no_context_takeover, agreement.client_no_context_takeover) == (True, True)
    assert (agreement.server_window_bits, agreement.client_window_bits) == (8, 9)
    assert Deflate(server_no_context_takeover=True).accept(answer).server_no_context_takeover
    assert Deflate(client_no_context_takeover=True).accept([]).client_no_context_takeover


@pytest.mark.parametrize(
    ("settings", "answer", "why"),
    [
        (Deflate(), [("unknown", None)], "unknown parameter unknown"),
        (Deflate(), [("server_no_context_takeover", None)] * 2, "twice"),
        (Deflate(), [("server_no_context_takeover", "1")], "a value for"),
        (Deflate(), [("server_max_window_bits", None)], "8 to 15"),
        *[(Deflate(), [("server_max_window_bits", bits)], "8 to 15") for bits in ("7", "16", "99", "abc", "08", "+9")],
        (Deflate(), [("client_max_window_bits", None)], "8 to 15"),
        (Deflate(client_max_window_bits=10), [("client_max_window_bits", "11")], "8 to 10"),
        (Deflate(server_max_window_bits=10), [("server_max_window_bits", "11")], "8 to 10"),
        (Deflate(server_max_window_bits=10), [], "without the server_max_window_bits"),
        (Deflate(server_no_context_takeover=True), [], "without the server_no_context_takeover"),
    ],
)
def test_w06_answers_that_must_not_be_accepted(settings: Deflate, answer: Parameters, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings.accept(answer)


@pytest.mark.parametrize("forgets", [False, True])
def test_w13_context_is_kept_or_forgotten(forgets: bool) -> None:
    deflater = Deflater(agreed(client_no_context_takeover=forgets))
    inflater = Inflater(agreed(server_no_context_takeover=forgets))
    message = bytes(range(256)) * 4
    first, second = deflater.deflate(message), deflater.deflate(message)
    assert (len(second) < len(first) / 4) is not forgets
    assert whole(inflater, first) == message
    assert whole(inflater, second) == message


def test_w13_fragments_can_each_be_read_when_they_come() -> None:
    deflater, inflater = Deflater(agreed()), Inflater(agreed())
    fragments = [b"first " * 50, b"second " * 50, b""]
    for number, fragment in enumerate(fragments):
        is_last = number == 2
        assert whole(inflater, deflater.deflate(fragment, is_last), None, is_last) == fragment


def test_w13_empty_messages_and_final_blocks() -> None:
    inflater = Inflater(agreed())
    assert whole(inflater, b"\x00") == b""
    assert whole(inflater, deflated(b"hello", final=True)) == b"hello"
    assert whole(inflater, deflated(b"again")) == b"again"


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x06"])
def test_w13_garbage_is_invalid_data(data: bytes) -> None:
    with pytest.raises(Violation) as caught:
        whole(Inflater(agreed()), data)
    assert caught.value.code == 1007


@pytest.mark.parametrize("size", [1000, STEP - 1, STEP, STEP + 1, STEP + 258, 3 * STEP])
def test_all_comes_out_whatever_the_step(size: int) -> None:
    inflater = Inflater(agreed())
    for _ in range(2):
        data = b"abc" * (size // 3) + b"d" * (size % 3)
        assert whole(inflater, deflated(data), size) == data
        inflater = Inflater(agreed())


def test_w11_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = deflated(bytes(20_000_000))
    assert len(bomb) < 25_000
    produced = 0
    with pytest.raises(Violation) as caught:
        for chunk in Inflater(agreed()).inflate(bomb, 1_000_000, True):
            produced += len(chunk)
    assert caught.value.code == 1009
    assert produced <= 1_000_000


def test_what_is_worth_compressing() -> None:
    deflater = Deflater(agreed())
    assert [deflater.is_worthwhile(length) for length in (0, 127, 128, 5000)] == [False, False, True, True]
    assert not Deflater(agreed(client_window_bits=8)).is_worthwhile(5000)
