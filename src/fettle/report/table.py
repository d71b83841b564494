"""The table of candidates, for a terminal."""

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fettle.evaluate import words
from fettle.evaluate.measures import headline
from fettle.evaluate.results import Candidate, Selection

STYLES = {"winner": "bold green", "passes": "", "fails": "red", "dropped": "dim"}
TEXTS = ("candidate", "precision", "verdict")


def candidates_table(selection: Selection) -> Table:
    """Return a rich table of the candidates; the winner is bold, what failed is red, what was dropped is dim."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    score = str(headline(selection.task))
    for column in ("candidate", "precision", score, "vs baseline", "p50", "p95", "best images/s", "size", "verdict"):
        table.add_column(column, justify="left" if column in TEXTS else "right", no_wrap=column != "verdict")
    for row in selection.candidates:
        state = standing(row, selection)
        # Text, because a name may hold what rich takes for markup.
        table.add_row(*(Text(cell) for cell in cells(row, selection)), style=STYLES[state])
    return table


def to_text(selection: Selection, *, width: int = 120) -> str:
    """Return the table as plain text without colours."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(candidates_table(selection))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def standing(row: Candidate, selection: Selection) -> str:
    """Return ``winner``, ``passes``, ``fails`` (a gate) or ``dropped`` (no better than its parent)."""
    if row.name == selection.winner:
        return "winner"
    if not row.passed:
        return "fails"
    return "passes" if row.eligible else "dropped"


def verdict(row: Candidate, selection: Selection) -> str:
    """Return the standing with what it is about, such as ``fails max_drop``."""
    state = standing(row, selection)
    failed = ", ".join(gate.name for gate in row.gates if not gate.passed)
    return f"{state} {failed}" if state == "fails" else state


def cells(row: Candidate, selection: Selection) -> tuple[str, ...]:
    """Return one line of the table as text."""
    change = "" if row.difference is None else words.points(row.difference.interval.estimate).removesuffix(" points")
    return (
        row.name,
        row.precision,
        headline(selection.task).show(row.score),
        change,
        words.milliseconds(row.p50_ms),
        words.milliseconds(row.p95_ms),
        f"{row.best_throughput:.0f}",
        words.megabytes(row.size_mb),
        verdict(row, selection),
    )
