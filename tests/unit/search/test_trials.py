"""The notebook of a search survives whoever writes in it."""

from pathlib import Path

import torch

from fettle.models import Architecture, build_model
from fettle.search.shapes import Shape
from fettle.search.trials import AGAIN, LONG, NETWORK, RATE, Notebook, Rung, Trial

TRIAL = Trial(3, Shape(32, 1, "clock", "taylor", 8, 0.4), latencies={"int8-openvino": 1.5})
ARCHITECTURE = Architecture("classify", "test_resnet", ("a", "b"), 32)


def test_a_trial_and_its_network_come_back(tmp_path: Path) -> None:
    notebook, network = Notebook(tmp_path), build_model(ARCHITECTURE)
    notebook.save(TRIAL)
    assert notebook.trials() == [TRIAL]
    assert notebook.trials()[0].level == 0
    for level in (1, 3):
        trial = notebook.trials()[0].after(Rung(level, 2, 0.9 + level / 100, 0.3, 10.0))
        notebook.save(trial, network, ARCHITECTURE)
    (found,) = notebook.trials()
    assert (found.level, found.score, found.seconds_an_epoch) == (3, 0.93, 5.0)
    assert (found.rung(1), found.rung(2)) == (found.rungs[0], None)
    assert [path.name for path in notebook.place(3).glob(f"{NETWORK}-*")] == [f"{NETWORK}-2"], "the older one is gone"
    loaded, architecture = notebook.load(found)
    assert architecture == ARCHITECTURE
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


def test_short_trainings_and_later_ones_go_at_a_lower_rate() -> None:
    fitted = TRIAL.after(Rung(1, 0, 0.9, 0.3, 10.0))
    assert (TRIAL.rate(LONG), fitted.rate(3 * LONG), fitted.rate(LONG // 2)) == (RATE, RATE, RATE / 2)
    assert fitted.after(Rung(2, 3, 0.9, 0.3, 10.0)).rate(LONG) == RATE * AGAIN


def test_time_is_summed_over_calls(tmp_path: Path) -> None:
    Notebook(tmp_path).spend("trials", 2.5)
    Notebook(tmp_path).spend("trials", 1.0)
    Notebook(tmp_path).spend("machine", 4.0)
    assert (Notebook(tmp_path).typical("trials"), Notebook(tmp_path).typical("whole")) == (1.75, None)
    assert Notebook(tmp_path).spent() == {"trials": 3.5, "machine": 4.0}
    assert Notebook(tmp_path / "other").noted("whole") is None
