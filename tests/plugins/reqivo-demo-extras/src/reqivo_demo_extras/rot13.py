"""``x-rot13``: a content-coding that turns letters by thirteen places. Its last octet is ``.``, to show a cut body."""

from __future__ import annotations

from reqivo_core.errors import DecodeError

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TURNED = b"NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
_TABLE = bytes.maketrans(_LETTERS, _TURNED)
END = b"."


def encode(data: bytes) -> bytes:
    """Turn octets, and mark their end."""
    return data.translate(_TABLE) + END


class Rot13Decoder:
    """Turns the letters back."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> bool:
        """Whether there is more to get than the one octet that may be the mark."""
        return len(self._rest) > 1

    def decode(self, data: bytes, max_length: int, /) -> bytes:
        """Take octets, give at most ``max_length``."""
        octets = self._rest + data
        ready = octets[: min(max_length, max(0, len(octets) - 1))]
        self._rest = octets[len(ready) :]
        return ready.translate(_TABLE)

    def flush(self) -> bytes:
        """Look whether the mark was the last to come."""
        if self._rest != END:
            raise DecodeError("x-rot13: the body ended before its coding did", phase="body")
        return b""
