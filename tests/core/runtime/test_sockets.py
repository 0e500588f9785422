"""What the runtimes share about sockets."""

from __future__ import annotations

import socket

import pytest

from reqivo_core.runtime import sockets


@pytest.mark.parametrize("ending", ["end", "silence"])
def test_the_rest_is_what_had_come(ending):
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.sendall(b"last words")
        if ending == "end":
            far.close()
        assert b"".join(sockets.rest(near)) == b"last words"
        assert sockets.rest(near) == []
