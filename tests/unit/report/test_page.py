"""The page: all of a run, any part of it, and hostile names."""

import json
import re
import shutil
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fettle import card
from fettle.card import read_card
from fettle.data import open_dataset
from fettle.errors import ArtifactError, SpecError
from fettle.report.page import render
from fettle.report.sections import SECTIONS
from fettle.spec import GateConfig
from fettle.steps.select import select
from fettle.steps.validate import validate

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(HTMLParser):
    """Collects text, headings and references, and sees that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.references: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        if tag == "section":
            self.sections.append(values["id"] or "")
        self.references += [value for key, value in attrs if key in ("src", "href", "xlink:href") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value for key, value in attrs if key in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "


def read(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def page_of(*paths: Path, **options) -> str:
    return render(list(paths), **({"title": "castings", "skipped": {}} | options))


def test_a_whole_run_has_every_section(run) -> None:
    began = datetime.fromisoformat(min(read_card(path).started for path in run.values()))
    page = page_of(*run.values(), skipped={"trt": "no GPU here."}, began=began - timedelta(seconds=9))
    found = read(page)
    assert found.sections == [section.name for section in SECTIONS if section.name not in ("vote", "search")]
    text = re.sub(r"\s+", " ", found.text)
    assert "int8-onnxruntime is the edge choice: 3.3x faster than baseline-onnxruntime" in text
    assert "slow-onnxruntime is slower at batch 1 and batch 4 than baseline-onnxruntime" in text
    assert "trt was left out: no GPU here." in text
    assert "Trial 2 was best with 0.4000, 0.1000 better than the default" in text
    assert "gives the offline answers to all 9 test images" in text
    assert "Probability that the drop is within the limit" in text
    assert "resnet18, baseline" in text
    assert "int8-onnxruntime is wrong on 1 of 9 test images" in text


def test_needs_nothing_but_itself(run) -> None:
    page = page_of(*run.values())
    references = read(page).references
    assert references
    for reference in references:
        assert reference.startswith(("#", "data:image/jpeg;base64,"))
    assert not re.search(r"https?://|file:|@import|url\((?!#)", page)
    assert "<script" not in page


def test_svg_references_lead_somewhere(run) -> None:
    """Several plots in one page must not take each other's clip paths and markers away."""
    page = page_of(*run.values())
    ids = set(re.findall(r'id="([^"]+)"', page))
    targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert targets <= ids


@pytest.mark.parametrize(
    "missing", ["dataset", "model", "benchmark", "selection", "study", "confirmation", "promotion"]
)
def test_what_is_missing_is_left_out(run, missing: str) -> None:
    gone = {
        "dataset": {"data", "mistakes"}, "model": {"training"}, "benchmark": set(), "study": {"tuning"},
        "selection": {"result", "candidates", "gates"}, "confirmation": set(), "promotion": set(),
    }[missing] | {"vote", "search", "time"}  # fmt: skip
    found = read(page_of(*(path for name, path in run.items() if name != missing)))
    assert found.sections == [section.name for section in SECTIONS if section.name not in gone]


def test_no_winner_is_told(run, tmp_path: Path) -> None:
    validations = [path for name, path in run.items() if name.endswith("-onnxruntime")]
    gates = GateConfig(latency_p95_ms=0.001)
    lost = select(validations, run["benchmark"], tmp_path / "lost", gates=gates, profile="edge").path
    found = read(page_of(run["dataset"], *validations, run["benchmark"], lost))
    assert {"result", "candidates", "gates", "quality", "mistakes"} <= set(found.sections)
    text = re.sub(r"\s+", " ", found.text)
    assert "No winner: every candidate fails a gate or was dropped; the baseline itself fails latency_p95" in text
    assert "Before and after" not in text


def test_every_artifact_alone(run) -> None:
    for path in run.values():
        assert "machine" in read(page_of(path)).sections


def test_same_artifacts_same_page(run) -> None:
    assert page_of(*run.values()) == page_of(*run.values())


def test_names_are_escaped(run, tmp_path: Path) -> None:
    """Class and file names come from folders that anyone may have named."""
    evil = "<script>alert(1)</script>$x_{1}$"
    folder = tmp_path / "evil"
    data = open_dataset(run["dataset"])
    with card.create(folder, kind="dataset", name=evil) as draft:
        for file in run["dataset"].iterdir():
            if file.name != card.CARD:
                shutil.copy(file, draft.path)
        index = json.loads((draft.path / "dataset.json").read_text())
        index["classes"] = [evil, "ok"]
        index["counts"] = {split: {evil: 1, "ok": 2} for split in index["counts"]}
        (draft.path / "dataset.json").write_text(json.dumps(index))
        rows = [json.dumps(vars(record) | {"path": f"{evil}.png"}) for record in data.records]
        (draft.path / "records.jsonl").write_text("\n".join(rows))
        (draft.path / "quarantine.jsonl").write_text(json.dumps({"path": evil, "reason": "truncated"}))
    page = page_of(*(folder if name == "dataset" else path for name, path in run.items()), title=evil)
    found = read(page)
    assert "<script" not in page
    assert "$x_{1}$" in found.text  # and matplotlib takes no name for a formula
    assert f"{evil}.png" in found.text
    assert "1 image or box could not be used" in re.sub(r"\s+", " ", found.text)


def test_refuses_nothing_and_altered_artifacts(run) -> None:
    with pytest.raises(SpecError, match="empty"):
        page_of()
    file = run["selection"] / "selection.json"
    file.write_text(file.read_text().replace("int8", "int9"))
    with pytest.raises(ArtifactError, match="does not match its card"):
        page_of(*run.values())


def test_mistakes_are_the_most_confident_ones(run) -> None:
    """The one wrong image of the winner is shown with what it is and what it was taken for."""
    data = open_dataset(run["dataset"])
    test = data.subset("test")
    page = page_of(*run.values())
    shown = page[page.index('id="mistakes"') :]
    truth = data.classes[test.labels[0]]
    other = data.classes[1 - test.labels[0]]
    assert f"<strong>{truth}</strong> taken for <strong>{other}</strong>, 90%" in shown
    assert test.paths[0] in shown
    assert np.load(run["int8-onnxruntime"] / "predictions.npz")["probabilities"].max() == np.float32(0.9)
    assert read_card(run["selection"]).summary["winner"] == "int8-onnxruntime"


def test_a_run_of_detectors(detection_run) -> None:
    page = page_of(*detection_run.values())
    found = read(page)
    assert found.sections == ["result", "candidates", "gates", "quality", "mistakes", "data", "lineage", "machine"]
    text = re.sub(r"\s+", " ", found.text)
    assert "int8-onnxruntime is the balanced choice: 3.3x faster than baseline-onnxruntime" in text
    assert "one point of mAP50 counts as much as twice the speed" in text
    assert text.lower().count("accuracy") == 1  # the name of a profile
    assert "int8-onnxruntime 0.250 0.150 -0.150" in text  # exported with, served with, against the baseline
    assert "int8-onnxruntime gives 100.00% of the boxes that baseline-onnxruntime gives" in text
    assert "misses 1 of 4 objects on 3 test images, and gives 1 false alarm." in text
    assert "b missed baseline-onnxruntime | int8-onnxruntime" in text
    assert "a at 35%" in text
    mistakes = page[page.index('id="mistakes"') : page.index('id="data"')]
    assert mistakes.count("<img") == 4
    assert not re.search(r"https?://|file:|@import|url\((?!#)|nan|None", page[page.index("<main>") :])


def test_a_single_detector(detection_run) -> None:
    text = read(page_of(detection_run["dataset"], detection_run["int8-onnxruntime"])).text
    assert "Operating point" in text
    assert "int8-onnxruntime misses 1 of 4 objects" in re.sub(r"\s+", " ", text)


def test_classes_of_detectors_are_escaped(told_dataset, make_told_detector, tmp_path: Path) -> None:
    evil, box = "<script>x</script>", (4, 4, 24, 24)
    data = told_dataset(classes=(evil, "b"), val=[([(box, 0)], [(box, 90, 1)])], test=[([(box, 0)], [(box, 90, 1)])])
    made = validate(make_told_detector(classes=(evil, "b")), data, tmp_path / "v", runtime="onnxruntime")
    page = page_of(data, made.path)
    assert "<script" not in page
    assert f"{evil} missed" in read(page).text
