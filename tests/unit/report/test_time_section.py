"""Where the time went: from the cards alone, of a run on one machine and of one on many."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fettle import card
from fettle.card import read_card
from fettle.report.sections.time import build, spans
from fettle.report.sources import Sources, open_sources

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def brief(name: str, start: float, seconds: float, *parents: dict) -> dict:
    """A card in short; ``start`` is in seconds since the run began."""
    started = (BEGAN + timedelta(seconds=start)).isoformat()
    return {"kind": name, "name": name, "digest": name, "started": started, "seconds": seconds,
            "parents": {each["digest"]: each for each in parents}}  # fmt: skip


class Told:
    """An artifact as far as the section looks at it."""

    def __init__(self, told: dict) -> None:
        self.card = self
        self.brief = lambda: told


def section(*briefs: dict) -> dict:
    return build(Sources(tuple(Told(each) for each in briefs), began=BEGAN))


def test_a_step_waits_from_when_all_is_there_that_it_needs():
    data = brief("data", 10, 5)
    export = brief("export", 20, 10, data)
    other = brief("other", 31, 4, data)
    told = section(brief("check", 42, 3, export, other))
    rows = {row["name"]: (row["start"], row["waited"], row["idle"], row["worked"]) for row in told["rows"]}
    assert rows == {
        "data": (10, 10, 10, 5),
        "export": (20, 5, 5, 10),
        "other": (31, 16, 6, 4),  # ten of the seconds it waited for its turn
        "check": (42, 7, 7, 3),
    }
    assert (told["seconds"], told["idle"], told["cached"]) == (45, 23, 0)


def test_work_at_the_same_time_counts_once():
    data = brief("data", 0, 10)
    told = section(brief("a", 12, 10, data), brief("b", 15, 10, data))
    assert (told["seconds"], told["idle"]) == (25, 2)


def test_what_came_from_the_cache_is_no_work_of_this_run():
    data = brief("data", -3600, 10)
    told = section(brief("model", 8, 2, data))
    assert [(row["name"], row["waited"]) for row in told["rows"]] == [("model", 8)]
    assert told["cached"] == 1
    assert section(data) is None


def test_an_old_card_does_not_tell_when():
    old = {"kind": "data", "name": "data", "digest": "d", "parents": {}}
    assert spans({"d": old}, BEGAN) == []


def test_without_a_run_there_is_no_section():
    assert build(Sources((Told(brief("data", 0, 1)),))) is None


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    with card.create(tmp_path / "a", kind="dataset", name="a") as draft:
        (draft.path / "file").write_text("x")
    time.sleep(0.01)  # cards tell milliseconds
    parents = {"dataset": read_card(tmp_path / "a")}
    with card.create(tmp_path / "b", kind="model", name="b", parents=parents):
        pass
    return tmp_path / "b"


def test_a_card_tells_of_its_ancestors(chain: Path):
    began = datetime.now(UTC) - timedelta(seconds=60)
    told = build(open_sources([chain], {}, began))
    assert [row["name"] for row in told["rows"]] == ["dataset a", "model b"]
    assert 55 < told["idle"] <= told["seconds"] < 65
