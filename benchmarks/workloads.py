"""What is measured: each workload is one row of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True)
class Workload:
    """One thing that every contender does.

    Attributes:
        key: Its name on the command line and in results.
        title: What it is, for the table.
        group: The table that it stands in.
        driver: The class of ``drivers`` that runs it.
        path: What is asked of the server.
        size: Octets of the body or message; for whole megabytes the throughput is told too.
        server: ``plain``, ``tls`` or ``scripted``.
        is_http2: Whether HTTP/2 is spoken.
        in_flight: Requests (or threads) under way at once.
        connections: Connections at the most; 0 for as many as are in flight.
        has_to_queue: Whether requests must wait for a connection.
        origins: How many servers are asked in turn.
        fixed: Operations of one round; 0 for as many as fill it.
        unit: What ``cpu`` and ``wall`` count.
    """

    key: str
    title: str
    group: str
    driver: str
    path: str = "small"
    size: int = 13
    server: str = "plain"
    is_http2: bool = False
    in_flight: int = 1
    connections: int = 0
    has_to_queue: bool = False
    origins: int = 1
    fixed: int = 0
    unit: str = "µs"

    @property
    def megabytes(self) -> float:
        """MB moved by one operation, for those whose throughput is told."""
        return self.size / 1e6 if self.size >= 50 * MIB else 0.0


def workloads(is_quick: bool = False) -> list[Workload]:
    """All of them.

    Args:
        is_quick: Whether large bodies are to be smaller, so that a trial run ends soon.
    """
    large = (20 if is_quick else 100) * MIB
    huge = (100 if is_quick else 1000) * MIB
    return [*_small(), *_bodies(large), *_http2(large), *_cliffs(), *_sockets(), *_footprint(huge)]


def _small() -> list[Workload]:
    group = "Small requests, HTTP/1.1, keep-alive"
    return [
        Workload("sync-small", "sync GET 13 B", group, "SyncGet"),
        Workload("sync-small-tls", "sync GET 13 B, TLS", group, "SyncGet", server="tls"),
        Workload("sync-10k", "sync GET 10 KB", group, "SyncGet", "bytes/10240", 10 * KIB),
        Workload("async-1", "async GET 13 B, 1 in flight", group, "AsyncGet"),
        Workload("async-50", "async GET 13 B, 50 in flight", group, "AsyncGet", in_flight=50),
        Workload("async-50-tls", "the same over TLS", group, "AsyncGet", server="tls", in_flight=50),
        Workload(
            "async-1000",
            "async GET 13 B, 1000 in flight on 100 connections",
            group,
            "AsyncGet",
            in_flight=1000,
            connections=100,
            has_to_queue=True,
        ),
    ]


def _bodies(large: int) -> list[Workload]:
    group, size = "Bodies, HTTP/1.1", f"{large // MIB} MB"
    rows = [Workload("sync-1m", "sync GET 1 MB", group, "SyncGet", f"bytes/{MIB}", MIB)]
    for world, driver in (("sync", "Sync"), ("async", "Async")):
        for server, suffix, words in (("plain", "", ""), ("tls", "-tls", ", TLS")):
            rows += [
                Workload(
                    f"{world}-down{suffix}",
                    f"{world} GET {size} streamed{words}",
                    group,
                    f"{driver}Download",
                    f"stream/{large}",
                    large,
                    server,
                ),
                Workload(
                    f"{world}-up{suffix}",
                    f"{world} POST {size} streamed{words}",
                    group,
                    f"{driver}Upload",
                    "upload",
                    large,
                    server,
                ),
            ]
    return rows


def _http2(large: int) -> list[Workload]:
    group, size = "HTTP/2 over TLS, one connection", f"{large // MIB} MB"

    def row(key: str, title: str, driver: str, path: str = "small", octets: int = 13, in_flight: int = 1) -> Workload:
        return Workload(key, title, group, driver, path, octets, "tls", True, in_flight, 1)

    return [
        row("h2-sync", "sync GET 13 B", "SyncGet"),
        row("h2-threads", "sync GET 13 B, 8 threads", "ThreadedGet", in_flight=8),
        row("h2-async-50", "async GET 13 B, 50 in flight", "AsyncGet", in_flight=50),
        row("h2-sync-down", f"sync GET {size} streamed", "SyncDownload", f"stream/{large}", large),
        row("h2-async-down", f"async GET {size} streamed", "AsyncDownload", f"stream/{large}", large),
        row("h2-async-up", f"async POST {size} streamed", "AsyncUpload", "upload", large),
    ]


def _cliffs() -> list[Workload]:
    group = "Cliffs: what grows with what"

    def row(key: str, title: str, driver: str, path: str = "small", octets: int = 13) -> Workload:
        return Workload(key, title, group, driver, path, octets, "scripted")

    def queued(number: int) -> Workload:
        title = f"{number:,} requests at once on 10 connections, each"
        return Workload(
            f"queued-{number}",
            title,
            group,
            "AsyncGet",
            in_flight=number,
            connections=10,
            has_to_queue=True,
            fixed=number,
        )

    return [
        row("origins-1", "sync GET, 1 origin", "SyncGet"),
        replace(
            row("origins-1000", "sync GET, 1000 origins in turn", "SyncGet"),
            origins=1000,
            connections=1000,
            fixed=2000,
        ),
        queued(1000),
        queued(10000),
        row("headers-100", "sync GET, header block of 100 lines", "SyncGet", "headers"),
        row("chunks-10000", "sync GET, body in 10,000 chunks of 4 B", "SyncGet", "chunks", 40_000),
        row("chunks-10000-async", "async GET, the same", "AsyncGet", "chunks", 40_000),
    ]


def _sockets() -> list[Workload]:
    rows = []
    for size, words in ((64, "64 B"), (8 * KIB, "8 KB"), (MIB, "1 MB")):
        for world in ("Async", "Sync"):
            key = f"ws-{world.lower()}-{size}"
            rows.append(Workload(key, f"{world.lower()} echo {words}", "WebSocket", f"{world}Echo", "ws", size))
    return rows


def _footprint(huge: int) -> list[Workload]:
    group, size = "Start-up and memory", f"{huge // MIB} MB"

    def memory(key: str, title: str, driver: str, path: str, **more: int | str | bool) -> Workload:
        return Workload(key, title, group, driver, path, huge, fixed=1, unit="KiB", **more)  # type: ignore[arg-type]

    return [
        Workload("import", "import, whole process", group, "Import", fixed=1),
        Workload("first-request", "first request of a new session", group, "FirstRequest"),
        memory(
            "idle-memory",
            "idle pooled connection, Python objects",
            "IdleMemory",
            "small",
            server="scripted",
            connections=1000,
        ),
        memory("stream-down", f"GET {size}: growth of the process", "DownMemory", f"stream/{huge}"),
        memory("stream-up", f"POST {size}: growth of the process", "UpMemory", "upload"),
        memory(
            "h2-stream-down",
            f"GET {size} over HTTP/2: growth of the process",
            "DownMemory",
            f"stream/{huge}",
            server="tls",
            is_http2=True,
            connections=1,
        ),
    ]
