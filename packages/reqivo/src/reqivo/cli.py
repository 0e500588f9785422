"""The command line: ``reqivo [METHOD] URL`` sends a request, ``reqivo plugins`` tells what is installed.

The body goes to standard output as it comes, everything else to standard error. Exit codes: 0, the server answered;
1, the request failed; 2, the command was wrong; 3, ``--fail`` was given and the status is 400 or more.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from reqivo_core import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reqivo_core import Response, TraceEvent

FAILED, WRONG, REFUSED, INTERRUPTED = 1, 2, 3, 130

EPILOG = """\
examples:
  reqivo https://example.org/
  reqivo POST https://example.org/users -j '{"name": "Ada"}' -H 'X-Trace: 1'
  reqivo PUT https://example.org/file -d @file.bin -i
  reqivo https://example.org/large.iso -o large.iso
  reqivo plugins

exit codes:
  0, the server answered; 1, the request failed; 2, the command was wrong; 3, with --fail: the status is 400 or more
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those of the command line, without the program's name; None takes the process's.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(str(message))
        try:
            if given[:1] == ["plugins"]:
                return _plugins(given[1:])
            return _request(given)
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:  # whoever was reading has seen enough; nothing is to be flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED


def _say(text: str) -> None:
    """Tell the user, beside the output."""
    if sys.stderr is not None:  # a process may be started without one
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


# reqivo plugins


def _plugins(arguments: Sequence[str]) -> int:
    """List the plugins in force."""
    from importlib.metadata import version

    from reqivo_core.plugins import DISABLE_VARIABLE, installed_plugins

    argparse.ArgumentParser("reqivo plugins", description="List the plugins in force, and their hooks.").parse_args(
        arguments
    )
    rows = [("plugin", "distribution", "hooks")]
    for name, distribution, hooks in installed_plugins():
        known = distribution if distribution == "unknown" else f"{distribution} {version(distribution)}"
        rows.append((name, known, ", ".join(hook.removeprefix("reqivo_") for hook in hooks) or "none"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for row in rows:
        _out(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}\n".encode())
    disabled = os.environ.get(DISABLE_VARIABLE)
    if disabled:
        _say(f"left out by {DISABLE_VARIABLE}: {disabled}")
    return 0


# reqivo [METHOD] URL


def _request(arguments: Sequence[str]) -> int:
    """Send a request and show the response."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)  # options may stand between METHOD and URL
    if len(options.target) > 2:
        parser.error("give [METHOD] URL, and options for the rest")

    from reqivo.session import Session
    from reqivo_core.errors import ReqivoError

    method = options.target[0] if len(options.target) == 2 else ("GET" if options.body is None else "POST")
    try:
        with (
            Session(**_session_options(options)) as session,
            session.stream(method, options.target[-1], **_request_options(options, parser)) as response,
        ):
            return _show(response, options)
    except BrokenPipeError:
        raise
    except (ReqivoError, OSError) as error:  # an OSError: the file that ``-o`` names cannot be written
        _say(f"reqivo: {error}")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "reqivo",
        usage="reqivo [options] [METHOD] URL\n       reqivo plugins",
        description="Send an HTTP request; the response's body goes to standard output.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="+", metavar="[METHOD] URL", help="GET, or POST with a body, where not given")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    body = parser.add_mutually_exclusive_group()
    body.add_argument("-d", "--data", dest="body", metavar="DATA", help="the body; @FILE or @- (standard input)")
    body.add_argument("-j", "--json", dest="body", metavar="JSON", action=_Json, help="the same, sent as JSON")
    parser.add_argument("-u", "--user", metavar="USER:PASSWORD", help="Basic authentication (others may see it: ps)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the body there (-: standard output)")
    parser.add_argument("-i", "--include", action="store_true", help="show the status line and headers (on stderr)")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what happens, with -i (on stderr)")
    parser.add_argument("-f", "--fail", action="store_true", help="exit with 3 if the status is 400 or more")
    parser.add_argument("-t", "--timeout", type=float, metavar="SECONDS", help="for all of it")
    parser.add_argument("-x", "--proxy", metavar="URL", help="a proxy, instead of what the environment says")
    parser.add_argument("-k", "--insecure", action="store_true", help="do not verify certificates")
    parser.add_argument("--cacert", metavar="FILE", help="the authorities to trust")
    parser.add_argument("--no-follow", action="store_true", help="do not follow redirects")
    version = parser.add_mutually_exclusive_group()
    version.add_argument("--http2", action="store_true", help="HTTP/2 and nothing else")
    version.add_argument("--http1", action="store_true", help="HTTP/1.1 and nothing else")
    parser.add_argument("--version", action="version", version=f"reqivo {_version()}")
    return parser


class _Json(argparse.Action):
    """Remembers that the body is JSON."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        namespace.body, namespace.is_json = values, True


def _version() -> str:
    from importlib.metadata import version

    return version("reqivo")


def _session_options(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"follow_redirects": not options.no_follow}
    if options.timeout is not None:
        found["timeout"] = options.timeout
    if options.insecure or options.cacert:
        found["verify"] = False if options.insecure else options.cacert
    if options.http1 or options.http2:
        found["http2"] = options.http2
    if options.proxy:
        found["proxy"] = options.proxy
    if options.verbose:
        found["plugins"] = [_Narrator()]
    return found


def _request_options(options: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Any]:
    headers = [_header(line, parser) for line in options.header]
    if getattr(options, "is_json", False) and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    found: dict[str, Any] = {"headers": headers}
    if options.body is not None:
        found["body"] = _body(options.body)
    if options.user is not None:
        username, _, password = options.user.partition(":")
        found["auth"] = username, password
    return found


def _header(line: str, parser: argparse.ArgumentParser) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        _wrong(parser, f"-H {line!r}: write 'Name: value'")
    return name, value.strip()


def _wrong(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.error(message)


def _body(data: str) -> Any:
    """What ``-d`` means: the text itself, a file's content, or what comes in."""
    if not data.startswith("@"):
        return data.encode()
    return sys.stdin.buffer if data == "@-" else Path(data[1:])


def _show(response: Response, options: argparse.Namespace) -> int:
    """Show the response as it comes."""
    if options.include or options.verbose:
        head = f"{response.http_version} {response.status_code} {response.reason}".rstrip()
        _say("\n".join([head, *(f"{name}: {value}" for name, value in response.headers.lines), ""]))
    if options.output not in (None, "-"):
        _say(f"{response.save(options.output)} octets written to {options.output}")
    else:
        for chunk in response.iter_bytes():
            _out(chunk)
    if options.fail and response.is_error:
        _say(f"reqivo: {response.url.redacted} answered {response.status_code} {response.reason}".rstrip())
        return REFUSED
    return 0


def _out(data: bytes) -> None:
    if sys.stdout is None:
        raise OSError("there is no standard output to write to: -o FILE names a file")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class _Narrator:
    """A plugin that tells what happens."""

    def __init__(self) -> None:
        self._started: float | None = None

    @hookimpl
    def reqivo_trace(self, event: TraceEvent) -> None:
        """Tell of an event."""
        if self._started is None:
            self._started = event.time
        details = " ".join(f"{name}={value}" for name, value in event.info.items())
        _say(f"* {event.time - self._started:7.3f} s  {event.name} {event.state}  {details}")
