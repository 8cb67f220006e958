"""Charts of the page, drawn by matplotlib as SVG whose colours the page's style sheet decides.

Colours are written as markers (`_COLOURS`) that become CSS variables, so that one drawing serves
light and dark; text stays text, in the reader's own font.
"""

import io
import itertools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cotdistill.reporting.wording import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[[float], "Figure"]
Point = tuple[float, float, float | None, float | None]
"""x, y, and the ends of y's interval where it has one; y in [0, 1]."""

NARROW = 480
"""Pixels below which labels stand above what they name, and panels below each other."""
_INK, _MUTED, _LINE = "#010101", "#010102", "#010103"
_SERIES = tuple(f"#0101{number:02x}" for number in range(0x11, 0x19))
_COLOURS = {_INK: "currentColor", _MUTED: "var(--muted)", _LINE: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES)
}
_OF_KIND = {"student": _SERIES[0], "prompted": _SERIES[1], "majority": _MUTED}
_MARKERS = "os^DvPX*"
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False,
    "font.family": "DejaVu Sans", "font.size": 11, "axes.titlesize": 11.5, "axes.labelsize": 11,
    "text.color": _INK, "axes.labelcolor": _INK, "axes.titlecolor": _INK,
    "axes.edgecolor": _LINE, "grid.color": _LINE, "xtick.color": _LINE, "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED, "ytick.labelcolor": _MUTED, "axes.grid": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "legend.frameon": False, "legend.labelcolor": _INK, "axes.axisbelow": True,
}  # fmt: skip


@dataclass(frozen=True)
class Interval:
    """One row of an interval plot; shares in [0, 1]."""

    label: str
    value: float
    low: float
    high: float
    kind: str


@dataclass(frozen=True)
class Series:
    """One line of points."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Panel:
    """Axes of a chart of series: what x counts, and whether its scale is logarithmic."""

    title: str
    x_label: str
    series: Sequence[Series]
    logarithmic: bool = False
    front: bool = False
    """Join the points that no other one beats in both figures."""
    ticks: Mapping[float, str] | None = None


def svg(draw: Draw, width: float, name: str) -> str:
    """Return a drawing as an inline SVG element of so many pixels, in the page's own colours.

    `name` is another for every drawing of a page: the identifiers inside are made from it.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    with _styled(name):
        canvas: Any = FigureCanvasSVG(draw(width))  # `savefig` would draw twice
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # What a page does not need: metadata, rules for all of it, identifiers of groups, name spaces;
    # and every colour marker becomes its variable.
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r' xmlns(?::\w+)?="[^"]*"| version="1.1"', "", text)
    text = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'width="\1"', text, count=1)
    text = re.sub(r"'DejaVu Sans'", "system-ui, sans-serif", text)
    return re.sub(r"#0101[0-9a-f]{2}", lambda found: _COLOURS[found[0]], text)


@contextmanager
def _styled(name: str) -> Iterator[None]:
    import matplotlib

    style: dict[Any, Any] = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # A label in a script that the measuring font lacks: the reader's own font has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> tuple["Figure", list[Any]]:
    """Return a figure of so many pixels (72 to an inch) and its axes in order."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def intervals(rows: Sequence[Interval]) -> Draw:
    """Draw accuracies in percent with their intervals, one row each, the first on top."""

    def draw(width: float) -> "Figure":
        narrow = width < NARROW
        wrapped = [textwrap.fill(row.label, 44 if narrow else 34) for row in rows]
        lines = max(text.count("\n") for text in wrapped) + 1
        each = 38 + 15 * lines if narrow else max(26, 17 * lines)
        figure, (axes,) = _figure(width, 44 + each * len(rows))
        for place, (row, label) in enumerate(zip(rows, wrapped, strict=True)):
            colour = _OF_KIND[row.kind]
            axes.plot([100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=2)
            axes.plot([100 * row.value], [place], "o", color=colour, markersize=7)
            said = interval(row.value, row.low, row.high)
            if narrow:
                axes.annotate(f"{label}\n{said} %", (0, place), (0, 7), va="bottom",
                              textcoords="offset points", linespacing=1.25)  # fmt: skip
            else:
                axes.annotate(said, (1, place), (8, 0), xycoords=("axes fraction", "data"),
                              textcoords="offset points", va="center")  # fmt: skip
        axes.set_yticks(range(len(rows)), [""] * len(rows) if narrow else wrapped)
        axes.tick_params(axis="y", labelcolor=_INK, length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 100)
        axes.set_ylim(len(rows) - 0.5, -1.0 if narrow else -0.6)
        axes.set_xlabel("accuracy in %")
        return figure

    return draw


def panels(parts: Sequence[Panel]) -> Draw:
    """Draw accuracy in percent against something, panels of the same series beside each other."""

    def draw(width: float) -> "Figure":
        columns = 1 if width < NARROW else min(2, len(parts))
        rows = -(-len(parts) // columns)
        labels = list(dict.fromkeys(one.label for part in parts for one in part.series))
        wide = 1 if width < NARROW else 2
        height = 250 * rows + 19 * -(-len(labels) // wide) + 10
        figure, grid = _figure(width, height, rows, columns)
        for axes, part in zip(grid, parts, strict=False):
            _draw_panel(axes, part, labels)
        for axes in grid[len(parts) :]:
            axes.remove()
        handles: dict[str, Any] = {}
        for axes in grid[: len(parts)]:
            found, named = axes.get_legend_handles_labels()
            handles.update(zip(named, found, strict=True))
        names = [textwrap.fill(label, 46) for label in handles]
        figure.legend(
            list(handles.values()), names, loc="outside lower left", ncols=wide, fontsize=10.5
        )
        return figure

    return draw


def _draw_panel(axes: "Axes", part: Panel, labels: Sequence[str]) -> None:
    from matplotlib.ticker import LogLocator

    for one in part.series:
        place = labels.index(one.label)
        colour, marker = _SERIES[place % len(_SERIES)], _MARKERS[place // len(_SERIES) % 8]
        x, y, low, high = (list(values) for values in zip(*one.points, strict=True))
        if part.ticks is not None and not part.logarithmic:
            # Beside each other, so that none hides behind another.
            shift = (place - (len(labels) - 1) / 2) * 0.4 / len(labels)
            step = min((b - a for a, b in itertools.pairwise(sorted(part.ticks))), default=1.0)
            x = [value + shift * step for value in x]
        spread = None
        if None not in low:
            spread = [[100 * (a - b) for a, b in zip(y, low, strict=True)],
                      [100 * (b - a) for a, b in zip(y, high, strict=True)]]  # fmt: skip
        axes.errorbar(x, [100 * one for one in y], spread, color=colour, marker=marker,
                      markersize=6, linewidth=1.5, elinewidth=1, label=one.label)  # fmt: skip
    if part.front:
        _draw_front(axes, [point for one in part.series for point in one.points])
    if part.logarithmic:
        axes.set_xscale("log")
        reach = [x for one in part.series for x, *_ in one.points]
        # Labels at 1, 2 and 5 where those at powers of ten alone would be one or two.
        subs = (1.0, 2.0, 5.0) if max(reach) < 100 * min(reach) else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_major_formatter("{x:g}")
    if part.ticks is not None:
        most = max(map(len, part.ticks.values())) * len(part.ticks)
        axes.set_xticks(list(part.ticks), list(part.ticks.values()))
        if most > 40:
            axes.tick_params(axis="x", rotation=25)
    axes.minorticks_off()
    axes.set(title=part.title, xlabel=part.x_label, ylabel="accuracy in %")
    axes.set_ylim(-3, 103)


def _draw_front(axes: "Axes", points: Sequence[tuple[Any, ...]]) -> None:
    best, front = -1.0, []
    for x, y, *_ in sorted(points, key=lambda point: (point[0], -point[1])):
        if y > best:
            best = y
            front.append((x, 100 * y))
    axes.step(*zip(*front, strict=True), where="post", color=_MUTED, linestyle=":", linewidth=1.5,
              zorder=1)  # fmt: skip


def histograms(parts: Mapping[str, Mapping[str, Mapping[int, int]]], x_label: str) -> Draw:
    """Draw counts by whole numbers, panel by panel, the parts of each as outlines over another."""

    def draw(width: float) -> "Figure":
        columns = 1 if width < NARROW else min(2, len(parts))
        rows = -(-len(parts) // columns)
        figure, grid = _figure(width, 170 * rows + 30, rows, columns)
        for axes, (title, series) in zip(grid, parts.items(), strict=False):
            most = max((key for counts in series.values() for key in counts), default=1)
            for place, (label, counts) in enumerate(series.items()):
                if counts:
                    axes.hist(list(counts), bins=min(40, most + 1), range=(0, most + 1),
                              weights=list(counts.values()), color=_SERIES[place], alpha=0.7,
                              histtype="stepfilled" if place == 0 else "step", linewidth=1.5,
                              label=label)  # fmt: skip
            axes.set_title(textwrap.fill(title, 42))
            axes.set(xlabel=x_label, ylabel="rationales")
            axes.legend(loc="upper right", fontsize=10)
        for axes in grid[len(parts) :]:
            axes.remove()
        return figure

    return draw
