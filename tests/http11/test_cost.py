"""What a response costs grows with its lines and chunks, and no faster."""

from collections.abc import Callable

import pytest

from http11.memory import segments
from reqivo_core.limits import Limits
from reqivo_http11.codec import load_codec
from reqivo_http11.receiving import HeadReceiver
from support.steps import count_steps

LIMITS = Limits()


def head(lines: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-Line-%d: value %d\r\n" % (n, n) for n in range(lines)) + b"\r\n"


def receiving_head(codec: str, lines: int) -> Callable[[], None]:
    data = head(lines)
    receiver = HeadReceiver(load_codec(codec)())
    receiver.start("GET", LIMITS)

    def work() -> None:
        received = receiver.receive(data)
        assert received is not None
        assert len(received.headers) == lines

    return work


def test_a_head_costs_no_more_than_its_lines(codec: str) -> None:
    small, middle, large = (count_steps(receiving_head(codec, lines)) for lines in (1, 50, 100))
    assert large - middle <= 1.5 * (middle - small) + 10


@pytest.mark.parametrize("how", ["whole", "random 1"])
def test_ten_thousand_tiny_chunks_cost_ten_times_as_much_as_a_thousand(codec: str, how: str) -> None:
    def receiving(number: int) -> int:
        receiver = HeadReceiver(load_codec(codec)())
        receiver.start("GET", LIMITS)
        receiver.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = receiver.body()
        pieces = segments(b"4\r\nbody\r\n" * number + b"0\r\n\r\n", how)

        def work() -> None:
            for piece in pieces:
                body.receive(piece)

        steps = count_steps(work)
        assert (body.is_complete, body.received) == (True, 4 * number)
        return steps

    assert receiving(10_000) < 11 * receiving(1000)
