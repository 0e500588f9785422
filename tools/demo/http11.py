"""HTTP/1.1: what every program does with a client."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app import PIECE
from steps import Step, expect

from reqivo import AsyncReqivo, CertificateError, Reqivo, Session, TimeoutException
from reqivo import AsyncSession as AsyncPlainSession

COUNT = 50
PIECES = 200
SENT = b"x" * 10_000


def get(session: Reqivo) -> str:
    return _hello(session.get("/hello"))


async def get_async(session: AsyncReqivo) -> str:
    return _hello(await session.get("/hello"))


def _hello(response: Any) -> str:
    expect(response.status_code == 200 and response.text == "Hello, world", f"{response!r} says {response.text!r}")
    return f"{response.http_version} {response.status_code}, {response.text!r}"


def post(session: Reqivo) -> str:
    return _echo(session.post("/echo", params={"page": 2}, json={"name": "Ada"}).json())


async def post_async(session: AsyncReqivo) -> str:
    return _echo((await session.post("/echo", params={"page": 2}, json={"name": "Ada"})).json())


def _echo(told: dict[str, Any]) -> str:
    arrived = told["method"], told["body"], told["query"], told["headers"]["content-type"]
    expect(arrived == ("POST", '{"name":"Ada"}', {"page": "2"}, "application/json"), f"arrived: {told}")
    return f"{told['length']} octets of JSON arrived"


def download(session: Reqivo) -> str:
    with session.stream("GET", f"/stream/{PIECES}") as response:
        return _downloaded(Counter(map(len, response.iter_content(65536))))


async def download_async(session: AsyncReqivo) -> str:
    sizes: Counter[int] = Counter()
    async with session.stream("GET", f"/stream/{PIECES}") as response:
        async for chunk in response.aiter_content(65536):
            sizes[len(chunk)] += 1
    return _downloaded(sizes)


def _downloaded(sizes: Counter[int]) -> str:
    total = sum(size * count for size, count in sizes.items())
    expect(total == PIECES * len(PIECE), f"{total} octets instead of {PIECES * len(PIECE)}")
    return f"{total:,} octets in {sizes.total()} chunks"


def upload(session: Reqivo) -> str:
    def pieces() -> Iterator[bytes]:
        for _ in range(PIECES):
            yield SENT

    return _uploaded(session.put("/echo", body=pieces()).json())


async def upload_async(session: AsyncReqivo) -> str:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            yield SENT

    return _uploaded((await session.put("/echo", body=pieces())).json())


def _uploaded(told: dict[str, Any]) -> str:
    expect(told["length"] == PIECES * len(SENT), f"{told['length']} octets arrived of {PIECES * len(SENT)}")
    return f"{told['length']:,} octets from a generator"


def compressed(session: Reqivo) -> str:
    return _compressed(session.get("/gzip"))


async def compressed_async(session: AsyncReqivo) -> str:
    return _compressed(await session.get("/gzip"))


def _compressed(response: Any) -> str:
    expect(response.content == PIECE * 20, "the body did not come back as it was")
    return f"{response.headers['content-length']} octets are {len(response.content):,}"


def at_once(session: Reqivo) -> str:
    with ThreadPoolExecutor(COUNT) as threads:
        answers = list(threads.map(lambda number: session.post("/echo", body=f"request {number}"), range(COUNT)))
    return _each_its_own(answers, session)


async def at_once_async(session: AsyncReqivo) -> str:
    answers = await asyncio.gather(*(session.post("/echo", body=f"request {number}") for number in range(COUNT)))
    return _each_its_own(answers, session)


def _each_its_own(answers: list[Any], session: Any) -> str:
    bodies = [answer.json()["body"] for answer in answers]
    expect(bodies == [f"request {number}" for number in range(COUNT)], "answers were mixed up")
    expect(session.pool.active == 0, f"the pool is not at rest: {session.pool!r}")
    return f"{len(bodies)} answers, {len(session.pool.connections())} idle connections"


def login(session: Reqivo) -> str:
    return _logged_in(session.post("/login", data={"user": "ada"}), session)


async def login_async(session: AsyncReqivo) -> str:
    return _logged_in(await session.post("/login", data={"user": "ada"}), session)


def _logged_in(response: Any, session: Any) -> str:
    expect(response.status_code == 200, f"the cookie did not come along: {response.text!r}")
    expect([earlier.status_code for earlier in response.history] == [303], f"history: {response.history}")
    expect(session.cookies["user"] == "ada", f"cookies: {session.cookies!r}")
    return f"303 to {response.url.path}, as {session.cookies['user']}"


def patience(session: Reqivo) -> str:
    try:
        session.get("/slow", timeout=0.2)
    except TimeoutException as error:
        return _impatient(error, session)
    raise TimeoutError("nothing was raised")


async def patience_async(session: AsyncReqivo) -> str:
    try:
        await session.get("/slow", timeout=0.2)
    except TimeoutException as error:
        return _impatient(error, session)
    raise TimeoutError("nothing was raised")


def _impatient(error: TimeoutException, session: Any) -> str:
    expect(error.request is not None and error.request.url.path == "/slow", f"the error knows {error.request}")
    expect(session.pool.active == 0, f"the pool is not at rest: {session.pool!r}")
    return f"{type(error).__name__} caught"


def mark(method: str, url: str, headers: Any) -> None:
    headers["X-Hook"] = "was here"


def _words(response: Any) -> str:
    return f"{response.request.method} {response.status_code}"


def hooks(session: Reqivo) -> str:
    seen: list[str] = []
    session.on_request(mark).on_response(
        lambda response: seen.append(f"{response.request.method} {response.status_code}")
    )
    return _hooked(session.get("/echo").json(), seen)


async def hooks_async(session: AsyncReqivo) -> str:
    seen: list[str] = []

    async def look(response: Any) -> None:
        await asyncio.sleep(0)
        seen.append(_words(response))

    session.on_request(mark).on_response(look)
    return _hooked((await session.get("/echo")).json(), seen)


def _hooked(told: dict[str, Any], seen: list[str]) -> str:
    expect(told["headers"].get("x-hook") == "was here", f"the server saw {told['headers']}")
    expect(seen == ["GET 200"], f"the hook saw {seen}")
    return f"header added, {seen[0]!r} seen"


def stranger(session: Reqivo) -> str:
    with Session(trust_env=False) as own:
        try:
            own.get(f"{session.base_url}/hello")
        except CertificateError as error:
            return f"{type(error).__name__}: not trusted"
    raise CertificateError("an unknown authority was trusted")


async def stranger_async(session: AsyncReqivo) -> str:
    async with AsyncPlainSession(trust_env=False) as own:
        try:
            await own.get(f"{session.base_url}/hello")
        except CertificateError as error:
            return f"{type(error).__name__}: not trusted"
    raise CertificateError("an unknown authority was trusted")


STEPS = [
    Step("GET", get, get_async),
    Step("POST JSON with parameters", post, post_async),
    Step("streaming down", download, download_async),
    Step("streaming up", upload, upload_async),
    Step("gzip", compressed, compressed_async),
    Step(f"{COUNT} requests at once", at_once, at_once_async),
    Step("a redirect with a cookie", login, login_async),
    Step("a time limit of 0.2 s", patience, patience_async),
    Step("hooks", hooks, hooks_async),
]
SECURE_STEPS = [*STEPS, Step("without the authority", stranger, stranger_async)]
