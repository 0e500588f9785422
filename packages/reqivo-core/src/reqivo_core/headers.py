"""Headers: a case-insensitive multi-map of field lines (RFC 9110 §5).

Lines keep their order and their spelling. What a user puts in is checked at the door, so nothing that could split a
message ever reaches a transport (RFC 9110 §5.5); what a server sent is taken as the transport's own checks left it.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias, TypeVar

from reqivo_core.errors import InvalidRequest, excerpt

T = TypeVar("T")
D = TypeVar("D")
HeaderTypes: TypeAlias = "Headers | Mapping[str, Any] | Iterable[tuple[str, Any]] | None"
RawHeaders: TypeAlias = "list[tuple[bytes, bytes]]"

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_field_value = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?").fullmatch

_SECRET_WORDS = ("authorization", "cookie", "token", "secret", "passw", "api-key", "apikey", "access-key", "auth-key")

_parts = re.compile(r'[;,=\s"]+').split


def is_secret(name: str) -> bool:
    """Tell by a field's name whether its value is a credential, to be masked wherever people read it."""
    lower = name.lower()
    return any(word in lower for word in _SECRET_WORDS)


def conceal(text: str, headers: Headers) -> str:
    """Mask in what a server said whatever it says back of the credentials it was sent.

    Args:
        text: What the server said.
        headers: What was sent to it. Of each credential both the whole and its parts are looked for, such as the value
            of a single cookie; parts of less than five characters are no secrets.

    Returns:
        The text, with ``***`` for each.
    """
    values = [value for name, value in headers.multi_items() if is_secret(name)]
    parts = {part for value in values for part in [value, *_parts(value), *_in_basic(value)] if len(part) > 4}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _in_basic(value: str) -> list[str]:
    """What Basic authentication encodes (RFC 7617): user name and password, and the password by itself."""
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        pair = a2b_base64(token).decode("latin-1")
    except ValueError:  # the user wrote something else
        return []
    return [pair, pair.partition(":")[2]]


def checked_name(name: str | bytes) -> str:
    """A field name that is a token (RFC 9110 §5.6.2).

    Raises:
        InvalidRequest: It is not.
    """
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    if not isinstance(text, str) or not _is_token(text):
        raise InvalidRequest(f"header name {excerpt(str(text))}: give one or more letters, digits or !#$%&'*+-.^_`|~")
    return text


def checked_value(name: str, value: object) -> str:
    """A field value without surrounding whitespace, control characters or anything beyond Latin-1 (RFC 9110 §5.5).

    The value itself is never shown: it may be a credential.

    Raises:
        InvalidRequest: It cannot be sent.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"header {name}: a value is str, bytes or a number, not {type(value).__name__}")
    text = value.strip(" \t")
    if not _is_field_value(text):
        raise InvalidRequest(
            f"header {name}: its value holds a control character (CR, LF, NUL …) or one beyond Latin-1; "
            "encode it first, for instance with urllib.parse.quote"
        )
    return text


def _pairs(headers: HeaderTypes) -> Iterable[tuple[str, Any]]:
    """The lines of any form of headers that users write."""
    if headers is None:
        return ()
    if isinstance(headers, Headers):
        return headers.multi_items()
    if isinstance(headers, Mapping):
        return headers.items()
    try:
        return [(name, value) for name, value in headers]
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"headers: give a mapping, or pairs of name and value; this {type(headers).__name__} is neither"
        ) from None


class _Lines:
    """Field lines that do not change any more, with what was made of them: shared by all headers that have them.

    Attributes:
        index: The value of each name in lower case, several lines joined; None before somebody has looked.
        derived: What functions have made of the lines.
    """

    __slots__ = ("_pairs", "_raw", "derived", "index")

    def __init__(self, pairs: list[tuple[str, str]] | None, raw: RawHeaders | None = None) -> None:
        self._pairs = pairs
        self._raw = raw
        self.index: dict[str, str] | None = None
        self.derived: dict[Callable[[list[tuple[str, str]]], Any], Any] | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names and values, in order, in their spelling."""
        raw, pairs = self._raw, self._pairs  # in this order: another thread may be decoding them
        if pairs is None:
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw or ()]
            self._pairs = pairs
            self._raw = None
        return pairs

    @property
    def raw(self) -> RawHeaders:
        """The same as octets."""
        raw = self._raw
        if raw is not None:
            return raw.copy()
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.pairs]

    def indexed(self) -> dict[str, str]:
        """The value of each name."""
        index = self.index
        if index is None:
            pairs = self.pairs
            index = {name.lower(): value for name, value in pairs}
            if len(index) < len(pairs):
                index = {
                    name: values[0] if name == "set-cookie" else ", ".join(values)
                    for name, values in self.grouped().items()
                }
            self.index = index
        return index

    def grouped(self) -> dict[str, list[str]]:
        """The values of each name, one for each line."""
        groups: dict[str, list[str]] = {}
        for name, value in self.pairs:
            groups.setdefault(name.lower(), []).append(value)
        return groups


class Headers(MutableMapping[str, str]):
    """Field lines, looked up without regard to case.

    ``headers["x"]`` joins several lines of one name with ``", "`` (RFC 9110 §5.3), except ``Set-Cookie``, which
    cannot be joined: there it is the first line. ``get_all`` gives them one by one.

    A change makes new lines and leaves those that copies may share as they are; hence a copy costs nothing, and what
    was made of a session's default lines (an index, their octets) serves each of its requests.
    """

    __slots__ = ("_lines",)

    def __init__(self, headers: HeaderTypes = None) -> None:
        """Make headers.

        Args:
            headers: A mapping or pairs of names and values. A value of None leaves the name out.

        Raises:
            InvalidRequest: A name or value cannot be sent.
        """
        lines = []
        for name, value in _pairs(headers):
            if value is not None:
                name = checked_name(name)
                lines.append((name, checked_value(name, value)))
        self._lines = _Lines(lines)

    @classmethod
    def from_raw(cls, raw: RawHeaders) -> Headers:
        """Headers as they came from the wire; decoded (Latin-1) when first looked at."""
        self = cls.__new__(cls)
        self._lines = _Lines(None, raw)
        return self

    @classmethod
    def from_lines(cls, lines: list[tuple[str, str]]) -> Headers:
        """Headers as they came from the wire, decoded already; nothing is checked, and the list belongs to them."""
        self = cls.__new__(cls)
        self._lines = _Lines(lines)
        return self

    def copy(self) -> Headers:
        """An independent copy; nothing is checked again."""
        other = Headers.__new__(Headers)
        other._lines = self._lines
        return other

    def derived(self, make: Callable[[list[tuple[str, str]]], T]) -> T:
        """What a function makes of the lines: called once for all headers that share them, and not to be changed.

        Args:
            make: Takes the lines, in order, in their spelling.
        """
        lines = self._lines
        derived = lines.derived
        if derived is None:
            derived = lines.derived = {}
        if make not in derived:
            derived[make] = make(lines.pairs)
        made: T = derived[make]
        return made

    @property
    def raw(self) -> RawHeaders:
        """The lines as octets, in order, in their spelling."""
        return self._lines.raw

    def multi_items(self) -> list[tuple[str, str]]:
        """The lines, in order, in their spelling."""
        return self._lines.pairs.copy()

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The lines themselves, for transports that write them out: not to be changed."""
        return self._lines.pairs

    @property
    def by_name(self) -> dict[str, str]:
        """The value of each name in lower case, several lines joined as ``headers["x"]`` does: not to be changed."""
        lines = self._lines
        return lines.index or lines.indexed()

    def get_all(self, name: str) -> list[str]:
        """The values of all lines of this name, in order."""
        lower = name.lower()
        if lower not in self.by_name:
            return []
        return [value for other, value in self._lines.pairs if other.lower() == lower]

    def add(self, name: str, value: object) -> None:
        """Add a line beside those of the same name.

        Raises:
            InvalidRequest: Name or value cannot be sent.
        """
        name = checked_name(name)
        line = name, checked_value(name, value)
        self._lines = _Lines([*self._lines.pairs, line])

    def merge(self, headers: HeaderTypes) -> None:
        """Let these lines replace ours of the same names; a value of None removes ours.

        Raises:
            InvalidRequest: A name or value cannot be sent.
        """
        seen: set[str] = set()
        for name, value in _pairs(headers):
            lower = checked_name(name).lower()
            if lower not in seen:
                seen.add(lower)
                self.discard(lower)
            if value is not None:
                self.add(name, value)

    def discard(self, name: str) -> None:
        """Remove all lines of this name, if there are any."""
        lower = name.lower()
        if lower in self.by_name:
            self._lines = _Lines([line for line in self._lines.pairs if line[0].lower() != lower])

    def __getitem__(self, name: str) -> str:
        return self.by_name[name.lower()]

    def get(self, name: str, default: D | None = None) -> str | D | None:  # type: ignore[override]  # no overloads
        """The value of a name, or a default: the mapping's own would raise and catch a KeyError for each miss."""
        lines = self._lines
        return (lines.index or lines.indexed()).get(name.lower(), default)

    def __setitem__(self, name: str, value: Any) -> None:
        name = checked_name(name)
        line = name, checked_value(name, value)
        lower = name.lower()
        pairs = self._lines.pairs
        if lower not in self.by_name:
            self._lines = _Lines([*pairs, line])
        else:
            place = next(n for n, (other, _) in enumerate(pairs) if other.lower() == lower)
            kept = [old for old in pairs[place + 1 :] if old[0].lower() != lower]
            self._lines = _Lines([*pairs[:place], line, *kept])

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.discard(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.by_name

    def __iter__(self) -> Iterator[str]:
        """The names, each once, in lower case, in the order of their first lines."""
        return iter(list(self.by_name))

    def __len__(self) -> int:
        return len(self.by_name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            if not isinstance(other, Mapping | list | tuple):
                return NotImplemented
            try:
                other = Headers(other)
            except InvalidRequest:
                return False
        return self._lines.grouped() == other._lines.grouped()

    __hash__ = None  # type: ignore[assignment]  # mutable, as MutableMapping is

    def __repr__(self) -> str:
        """With the values of credentials masked."""
        lines = [(name, "***" if is_secret(name) else value) for name, value in self._lines.pairs]
        return f"Headers({lines!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by lines."""
        return _unpickled, (self.multi_items(),)


def _unpickled(lines: list[tuple[str, str]]) -> Headers:
    return Headers.from_lines(lines)
