"""Step search: on a real network, in real runtimes."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from fettle.card import Artifact
from fettle.data import open_dataset
from fettle.errors import OptimizeError, SpecError
from fettle.evaluate import words
from fettle.evaluate.score import score
from fettle.export import open_export
from fettle.hardware import passport
from fettle.search import machine
from fettle.search.shapes import Shaped, Shaper
from fettle.search.subject import Subject
from fettle.search.trials import TRIAL
from fettle.spec import ModelConfig, SearchConfig, TrainConfig
from fettle.steps.pick import FRONT, pick
from fettle.steps.report import report
from fettle.steps.search import arithmetic, search
from fettle.steps.train import train

torch.set_num_threads(1)
FAMILY = ModelConfig(family="test_resnet", image_size=32)
TRAIN = TrainConfig.model_validate(
    {"preset": "plain", "epochs": 4, "batch_size": 16, "augment": [], "precision": "float32", "workers": 0}
)
# Float alone: NNCF takes seconds to import, and it has tests of its own.
CONFIG = SearchConfig(minutes=20, trials=2, candidates=2, max_drop=0.3, precisions=["float32"], width_steps=[8])


@pytest.fixture(scope="module")
def trained(castings_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(castings_dataset, tmp_path_factory.mktemp("trained") / "model", model=FAMILY, train=TRAIN).path


@pytest.fixture(scope="module", autouse=True)
def few_variants() -> Iterator[None]:
    """Little is known of the machine then, which is enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "VARIANTS", 2)
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work") / "step"


def run(model: Path, data: Path, out: Path, work: Path, **changes: Any) -> Artifact:
    runtimes = changes.pop("runtimes", ["onnxruntime", "openvino"])
    config = CONFIG.model_copy(update=changes)
    return search(model, data, out, config=config, train=TRAIN, runtimes=runtimes, work=work)


def read(artifact: Artifact) -> dict[str, Any]:
    return json.loads((artifact.path / "search.json").read_text())


@pytest.fixture(scope="module")
def made(trained: Path, castings_dataset: Path, work: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return run(trained, castings_dataset, tmp_path_factory.mktemp("made") / "search", work)


def test_bf16_is_trained_in_where_the_machine_has_it() -> None:
    train = TRAIN.model_copy(update={"precision": "auto"})
    has, lacks = (replace(passport(), flags=flags) for flags in (("avx512_bf16",), ("avx2",)))
    assert arithmetic({"arithmetic": "bf16"}, train, has) == "bf16"
    assert arithmetic({"arithmetic": "bf16"}, train, lacks) == "auto"
    assert arithmetic({"arithmetic": "float32"}, train, lacks) == "float32"
    assert arithmetic({}, train, has) == "auto"


def test_what_it_ends_with_is_what_it_says(made: Artifact, castings_dataset: Path, tmp_path: Path) -> None:
    told, val = read(made), open_dataset(castings_dataset).subset("val")
    assert [each["number"] for each in told["front"]] == [1, 2]
    assert [each["ms"] for each in told["front"]] == sorted(each["ms"] for each in told["front"])
    assert "whole" in {each["owner"] for each in told["front"]}
    for each in told["front"]:
        taken = pick(made.path, tmp_path / f"pick-{each['number']}", number=each["number"], recipe="auto-1").path
        export = open_export(taken)
        assert f"{export.precision}-{export.runtimes[0]}" == each["form"]
        assert score(export, val, export.runtimes[0]) == pytest.approx(each["score"])


def test_trials_are_measured_before_they_are_trained(made: Artifact) -> None:
    told = read(made)
    assert told["trials"]
    for trial in told["trials"]:
        assert not trial["rungs"] or trial["measured_ms"] == min(trial["latencies"].values()) > 0
        assert set(trial["latencies"]) <= {"float32-onnxruntime", "float32-openvino"}
        assert trial["rungs"] or trial["left"]
    assert told["floor"] == pytest.approx(told["reference"] - 0.3)
    assert told["sentence"]


def test_the_report_tells_of_it(made: Artifact, tmp_path: Path) -> None:
    page = (report([made.path], tmp_path / "report").path / "index.html").read_text()
    told = read(made)
    assert 'id="search"' in page
    assert told["sentence"] in page
    assert page.count("<svg") == 2, "the front, and what was expected"


def test_a_second_run_ends_sooner_with_the_same(
    made: Artifact, trained: Path, castings_dataset: Path, work: Path, tmp_path: Path
) -> None:
    again = run(trained, castings_dataset, tmp_path / "again", work)
    before, after = read(made), read(again)
    assert [trial["number"] for trial in after["trials"]][: len(before["trials"])] == [
        trial["number"] for trial in before["trials"]
    ]
    assert after["whole"] == before["whole"], "what is known is not measured again"
    assert after["seconds"] - before["seconds"] < before["seconds"]


def test_a_trial_whose_worker_died_is_taken_over(
    trained: Path, castings_dataset: Path, work: Path, made: Artifact, tmp_path: Path
) -> None:
    shutil.copytree(work.parent, tmp_path / "work")
    (folder,) = (tmp_path / "work").glob("search-*")  # the fixture's, since this test comes before the others
    number = max(trial["number"] for trial in read(made)["trials"]) + 1
    study = optuna.load_study(
        study_name="fettle",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))),
    )
    assert study.ask().number == number
    shape = {
        "input_size": 32, "skipped": 0, "spread": "even", "importance": "group_norm", "width_step": 8, "share": 0.5,
    }  # fmt: skip
    (folder / f"trial-{number}").mkdir()
    (folder / f"trial-{number}" / TRIAL).write_text(json.dumps({"number": number, "shape": shape, "rungs": []}))
    (folder / f"trial-{number}" / "worker").write_text("12345-gone")
    told = read(run(trained, castings_dataset, tmp_path / "out", tmp_path / "work" / "step"))
    (taken,) = (trial for trial in told["trials"] if trial["number"] == number)
    assert taken["rungs"] or taken["left"]


# Searches with other seeds are others, beside the first one: what is known of the machine, they share.


def test_a_latency_out_of_reach_names_the_nearest(
    made: Artifact, trained: Path, castings_dataset: Path, work: Path, tmp_path: Path
) -> None:
    out_of_reach = run(trained, castings_dataset, tmp_path / "search", work, seed=1, minutes=0.001, latency_ms=1e-4)
    told = read(out_of_reach)
    assert not told["trials"], "there was no time for one"
    assert "`search.latency_ms` 0.0001 is out of reach" in told["sentence"]
    assert "costs" in told["sentence"]


def test_a_budget_too_short_for_a_trial_leaves_the_whole_network(
    made: Artifact, trained: Path, castings_dataset: Path, work: Path, tmp_path: Path
) -> None:
    told = read(run(trained, castings_dataset, tmp_path / "search", work, seed=2, minutes=0.001))
    assert {each["owner"] for each in told["front"]} == {"whole"}
    assert "the whole network stays" in told["sentence"]


def test_where_no_trial_meets_the_floor_the_whole_network_stays(
    made: Artifact, castings_dataset: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = TRAIN.model_copy(update={"epochs": 12})
    model = train(castings_dataset, tmp_path / "model", model=FAMILY, train=longer).path

    def spoil(self: Shaper, shaped: Shaped) -> None:
        """Say the opposite of what was learnt."""
        with torch.no_grad():
            shaped.model.fc.weight.neg_()
            shaped.model.fc.bias.neg_()

    monkeypatch.setattr(Shaper, "reconstruct", spoil)
    monkeypatch.setattr(Subject, "fit", lambda self, model, *_, **__: model)
    told = read(run(model, castings_dataset, tmp_path / "search", work, seed=5, max_drop=0.05, trials=1))
    assert told["reference"] > 0.6, "or the opposite is as good"
    (made_of_it,) = (trial for trial in told["trials"] if trial["rungs"])
    assert made_of_it["forms"], "it was made, and measured"
    assert all(form["score"] < told["floor"] for form in made_of_it["forms"])
    assert f"Nothing smaller keeps {words.percent(told['floor'])} on val" in told["sentence"]
    assert "the whole network stays" in told["sentence"]
    assert {each["owner"] for each in told["front"] if each["score"] >= told["floor"]} == {"whole"}


def test_the_folder_of_another_search_is_not_trusted(
    made: Artifact, trained: Path, castings_dataset: Path, work: Path, tmp_path: Path
) -> None:
    known = set(work.parent.glob("search-*"))
    run(trained, castings_dataset, tmp_path / "search", work, seed=3, minutes=0.001)
    (folder,) = set(work.parent.glob("search-*")) - known
    noted = json.loads((folder / "search.json").read_text())
    (folder / "search.json").write_text(json.dumps({**noted, "machine": "another"}))
    with pytest.raises(OptimizeError, match="holds a search with another machine"):
        run(trained, castings_dataset, tmp_path / "again", work, seed=3, minutes=0.001)
    assert not (tmp_path / "again").exists()


def test_it_tells_what_each_lever_brought_of_the_same_search(
    made: Artifact, trained: Path, castings_dataset: Path, work: Path, tmp_path: Path
) -> None:
    known = set(work.parent.glob("search-*"))
    wanted: dict[str, Any] = {"seed": 4, "max_drop": 0.9, "trials": 1, "levers": ["width"]}
    wanted |= {"precisions": ["int8"], "runtimes": ["onnxruntime"]}
    first = read(run(trained, castings_dataset, tmp_path / "first", work, **wanted))
    assert first["ablation"] is None
    out = run(trained, castings_dataset, tmp_path / "second", work, ablation=True, **wanted)
    told, (folder,) = read(out), set(work.parent.glob("search-*")) - known
    assert told["trials"] == first["trials"], "the search is the same"
    assert told["spent"]["ablation"] > 0
    assert told["seconds"] == first["seconds"]
    ablation = told["ablation"]
    levers = ["found", "prune", "align", "importance", "reconstruct", "distil", "quantize"]
    assert [row["lever"] for row in ablation["rows"]] == levers
    assert all(row["failed"] is None and row["times"]["estimate"] > 0 for row in ablation["rows"])
    shares = {row["lever"]: row["params"] for row in ablation["rows"]}
    assert shares["prune"] == 1
    assert shares["found"] == shares["distil"] == shares["quantize"] < 1
    page = (report([out.path], tmp_path / "report").path / "index.html").read_text()
    assert "What each lever brought" in page
    assert "without the teacher" in page

    place = folder / "ablation" / f"trial-{ablation['trial']}-{ablation['form']}-{ablation['epochs']}"
    (place / "quantize.json").unlink()
    (place / "distil.json").rename(place / "distil-begun.json")  # as a process leaves it that crashes
    again = read(run(trained, castings_dataset, tmp_path / "third", work, ablation=True, **wanted))["ablation"]
    rows = {row["lever"]: row for row in again["rows"]}
    assert rows["quantize"]["score"] == ablation["rows"][-1]["score"], "its network was kept"
    assert rows["distil"]["failed"] == "the process that made it died"
    stayed = [row for row in ablation["rows"] if row["lever"] not in ("quantize", "distil")]
    assert [rows[row["lever"]] for row in stayed] == stayed, "what is noted is not made again"


def test_a_number_that_is_not_there(made: Artifact, tmp_path: Path) -> None:
    count = len(list((made.path / FRONT).iterdir()))
    with pytest.raises(SpecError, match=f"ended with {count} exports: there is no number 9"):
        pick(made.path, tmp_path / "pick", number=9, recipe="auto-9")
