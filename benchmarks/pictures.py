"""Draws the pictures of docs/performance.md, as SVG, from docs/figures. Runs in the environment of the peers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
INK, SHADES = "#57606a", ["#1f6feb", "#8b949e", "#bf8700", "#2da44e", "#cf222e"]  # readable on white and on black

mpl.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "todo",  # the same figures make the same file
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


def load(name: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((DOCS / "figures" / f"{name}.json").read_text())
    return found


def draw(title: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, name: str) -> None:
    path = DOCS / "images" / f"{name}.svg"
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def draw_peers(cpu: Mapping[str, Mapping[str, float]]) -> None:
    figure, axes = draw("CPU time of the server per request", "µs, logarithmic")
    scenarios = ["get one", "create", "patch", "list of 100"]
    names = ["todo", "floor", "Fastify", "plan"]
    labels = {"plan": "FastAPI + SQLModel", "floor": "floor of Python"}
    for place, name in enumerate(names):
        found = [cpu[scenario][name] for scenario in scenarios]
        bars = axes.bar(
            [n + (place - 1.5) * 0.2 for n in range(len(scenarios))],
            found,
            width=0.19,
            color=SHADES[place],
            label=labels.get(name, name),
        )
        axes.bar_label(bars, fmt="%.0f", fontsize=8, color=INK)
    axes.set_yscale("log")
    axes.set_ylim(top=20_000)
    axes.set_xticks(range(len(scenarios)), scenarios)
    axes.legend(frameon=False, loc="upper left", ncols=4, fontsize=9)
    save(figure, "peers")


def draw_rows(runs: Mapping[str, Mapping[str, float]], calls: Sequence[str]) -> None:
    figure, axes = draw("Time of a call, beside 10,000 rows or plain tables", "times as long")
    for place, (label, times) in enumerate(runs.items()):
        axes.bar(
            [n + (place - (len(runs) - 1) / 2) * 0.25 for n in range(len(calls))],
            [times[call] for call in calls],
            width=0.24,
            color=SHADES[place],
            label=label,
        )
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(calls)), [call.replace("_", " ") for call in calls])
    axes.set_ylim(0, 1.6)
    axes.legend(frameon=False, loc="upper left", ncols=3, fontsize=9)
    save(figure, "rows")


def draw_copies(rates: Mapping[str, Sequence[float]], share: float) -> None:
    title = f"Requests per second of one to four copies, each with {share:g} of a core"
    figure, axes = draw(title, "requests per second")
    for place, (scenario, found) in enumerate(rates.items()):
        numbers = range(1, len(found) + 1)
        axes.plot(numbers, found, marker="o", color=SHADES[place], label=scenario)
        axes.plot(numbers, [found[0] * n for n in numbers], color=SHADES[place], linewidth=0.8, linestyle=":")
    axes.set_xticks(range(1, 5), ["one copy", "two", "three", "four"])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left", fontsize=9, title="dotted: as many times as copies", title_fontsize=9)
    save(figure, "copies")


if __name__ == "__main__":
    draw_peers(load("side_by_side"))
    draw_rows(
        {
            "1 million rows": load("scale_1000000")["times"],
            "10 million": load("scale_10000000")["times"],
            "10 million in 8 partitions": load("scale_10000000_in_8")["times"],
        },
        ["get", "first_page", "last_page", "changes", "create", "patch"],
    )
    copies = json.loads((DOCS / "figures" / "copies.json").read_text())
    draw_copies(copies["requests_per_second"], copies["share"])
