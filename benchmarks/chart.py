"""The chart of a run: bars of the cost of some of the work, as SVG that needs nothing to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from contenders import FAST, Contender, Kind
from results import Run
from workloads import Workload

PANELS = [
    "sync-small",
    "async-50",
    "h2-async-50",
    "h2-threads",
    "sync-down",
    "h2-sync-down",
    "sync-up",
    "ws-async-64",
    "async-1000",
    "origins-1000",
    "import",
    "idle-memory",
]
COLORS = {Kind.OURS: "#c2410c", Kind.PYTHON: "#64748b", Kind.NATIVE: "#0f766e", Kind.LIMIT: "#cbd5e1"}
WORDS = {
    Kind.OURS: "reqivo",
    Kind.PYTHON: "clients in Python",
    Kind.NATIVE: "clients in native code",
    Kind.LIMIT: "a bare loop, the limit",
}

WIDTH, COLUMNS, MARGIN = 1080, 2, 24
NAME, BAR, VALUE = 118, 290, 90
LINE, TITLE = 17, 34


@dataclass(frozen=True)
class Panel:
    """One workload, and who did it at which cost, the cheapest first."""

    workload: Workload
    bars: list[tuple[float, Contender]]

    @property
    def height(self) -> int:
        """How much room it takes."""
        return TITLE + LINE * len(self.bars) + 22


def draw(run: Run) -> str:
    """The whole picture."""
    panels = [panel for key in PANELS if (panel := _panel(run, key)) is not None]
    shapes, top = [_legend()], 64
    for first in range(0, len(panels), COLUMNS):
        row = panels[first : first + COLUMNS]
        for column, panel in enumerate(row):
            shapes.append(_drawn(panel, MARGIN + column * (WIDTH // COLUMNS), top))
        top += max(panel.height for panel in row)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#0f172a">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _panel(run: Run, key: str) -> Panel | None:
    workload = run.workload(key)
    if workload is None:
        return None
    costs = [(run.cost(workload, one.name), one) for one in run.contenders]
    bars = sorted(((cost, one) for cost, one in costs if cost is not None), key=lambda bar: bar[0])
    return Panel(workload, bars) if bars else None


def _legend() -> str:
    shapes = [
        (
            f'<text x="{MARGIN}" y="26" font-size="16" font-weight="600">'
            "What one operation costs the client process (shorter is better)</text>"
        )
    ]
    left = MARGIN
    for kind, words in WORDS.items():
        shapes.append(f'<rect x="{left}" y="38" width="10" height="10" fill="{COLORS[kind]}"/>')
        shapes.append(f'<text x="{left + 15}" y="47">{words}</text>')
        left += 40 + 7 * len(words)
    return "\n".join(shapes)


def _drawn(panel: Panel, left: int, top: int) -> str:
    """A title, and a bar for each contender; bars beyond eight times ours are cut, and marked so."""
    workload, bars = panel.workload, panel.bars
    ours = next((cost for cost, one in bars if one.name == FAST), bars[0][0])
    longest = max(min(bars[-1][0], 8 * max(ours, 0.001)), 0.001)
    title = workload.title if workload.group.startswith("Start-up") else f"{workload.title} · {_short(workload.group)}"
    shapes = [f'<text x="{left}" y="{top + 22}" font-weight="600" font-size="13">{escape(title)}</text>']
    for number, (cost, one) in enumerate(bars):
        y = top + TITLE + number * LINE
        is_cut = cost > longest
        length = max(1.0, BAR * min(max(cost, 0.0), longest) / longest)
        weight = ' font-weight="600"' if one.kind is Kind.OURS else ""
        edge = left + NAME + length
        shapes.append(f'<text x="{left + NAME - 7}" y="{y + 10}" text-anchor="end"{weight}>{escape(one.name)}</text>')
        shapes.append(f'<rect x="{left + NAME}" y="{y}" width="{length:.1f}" height="12" fill="{COLORS[one.kind]}"/>')
        if is_cut:
            shapes.append(f'<path d="M{edge - 14:.1f} {y + 14} l5 -16 h4 l-5 16 z" fill="#ffffff"/>')
        shapes.append(f'<text x="{edge + 5:.1f}" y="{y + 10}"{weight}>{_value(cost, workload, longest)}</text>')
    return "\n".join(shapes)


def _short(group: str) -> str:
    return {"HTTP/2 over TLS, one connection": "HTTP/2", "Cliffs: what grows with what": "HTTP/1.1"}.get(
        group, "WebSocket" if group == "WebSocket" else "HTTP/1.1"
    )


def _value(cost: float, workload: Workload, longest: float) -> str:
    """A cost in a unit that suits the whole panel."""
    if workload.unit == "KiB":
        return f"{cost:,.1f} KiB"
    return f"{cost:,.0f} µs" if longest < 2_000 else f"{cost / 1000:,.1f} ms"
