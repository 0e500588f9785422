"""The fields of responses, trailers and promises, checked in one pass (RFC 9113 §8.2, §8.3).

A malformed message is an error of its stream alone (§8.1.1): the connection goes on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from reqivo_core.errors import excerpt
from reqivo_http2.faults import StreamFault, headers_too_large

if TYPE_CHECKING:
    from reqivo_core.headers import RawHeaders

is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
"""Tell whether octets are a field name (RFC 9113 §8.2.1)."""
_bad_in_values = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\n[ \t]|[ \t]\n").search
_is_length = re.compile(rb"[0-9]{1,19}").fullmatch
_CONNECTION_FIELDS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te"}
)
_ENTRY_OVERHEAD = 32
_KNOWN_SIZE = 2048
_known: set[bytes] = set()
"""Names that were found to be good; a set of octets can be shared by threads without a lock."""


def malformed(message: str) -> StreamFault:
    """A message that breaks the rules of HTTP."""
    return StreamFault(ErrorCodes.PROTOCOL_ERROR, f"the server sent {message}")


def check_fields(fields: RawHeaders, max_size: int, max_fields: int, what: str) -> None:
    """Refuse fields that no message may have. Pseudo-fields must have been taken out.

    Args:
        fields: The fields.
        max_size: Octets of names and values, each line counted with 32 more (RFC 9113 §10.5.1).
        max_fields: Lines.
        what: Whose fields they are, for messages.

    Raises:
        StreamFault: They are malformed, or too many.
    """
    if len(fields) > max_fields:
        raise headers_too_large(f"the {what} had {len(fields)} field lines; Limits allow {max_fields}")
    names = [name for name, _ in fields]
    if not _known.issuperset(names):
        for name in names:
            _check_name(name, what)
    text = b"\n".join([b"", *[value for _, value in fields], b""])
    size = (_ENTRY_OVERHEAD - 1) * len(fields) - 1 + len(b"".join(names)) + len(text)
    if size > max_size:
        raise headers_too_large(f"the {what} had {size} octets; Limits allow {max_size}")
    bad = _bad_in_values(text)
    if bad is not None or text.count(b"\n") != len(fields) + 1:
        raise malformed(f"{what} with a control character, or whitespace at an end, in a value")


def _check_name(name: bytes, what: str) -> None:
    if not is_name(name):
        if name[:1] == b":":
            raise malformed(f"{what} with a pseudo-field where none may be: {excerpt(name)}")
        raise malformed(f"{what} with the field name {excerpt(name)}")
    if name in _CONNECTION_FIELDS:
        raise malformed(f"{what} with the field {name.decode()}, which HTTP/2 does not have")
    if len(_known) < _KNOWN_SIZE and len(name) < 64:
        _known.add(name)


def take_status(fields: RawHeaders) -> int:
    """Take ``:status`` out of a response's fields (RFC 9113 §8.3.2).

    Raises:
        StreamFault: It is missing, doubled or no status.
    """
    if not fields or fields[0][0] != b":status":
        raise malformed("a response that does not begin with :status")
    value = fields.pop(0)[1]
    if len(value) != 3 or not value.isdigit() or value[0] == 0x30:
        raise malformed(f"a response with the status {excerpt(value)}")
    status = int(value)
    if status == 101:
        raise malformed("a response with the status 101, which HTTP/2 does not have")
    return status


def content_length(fields: RawHeaders) -> int | None:
    """The length that a response announces; None for none.

    Raises:
        StreamFault: It contradicts itself, or is no number.
    """
    found: int | None = None
    for name, value in fields:
        if name == b"content-length":
            if not _is_length(value) or (found is not None and found != int(value)):
                raise malformed(f"a response with the content-length {excerpt(value)}")
            found = int(value)
    return found
