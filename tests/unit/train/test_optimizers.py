"""Who is decayed, and the learning rate over a run."""

import pytest
import torch
from torch import nn

from fettle.spec import TrainConfig
from fettle.train.optimizers import make_optimizer, make_schedule

MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def rates(steps: int = 100, **kwargs: object) -> list[float]:
    config = TrainConfig.model_validate({"preset": "plain", "epochs": 10, "lr": 0.1, **kwargs})
    optimizer = make_optimizer(MODEL, config)
    schedule = make_schedule(optimizer, config, steps=steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_biases_and_norms_are_not_decayed(name: str, kind: type) -> None:
    optimizer = make_optimizer(MODEL, TrainConfig.model_validate({"optimizer": name, "weight_decay": 0.3}))
    assert type(optimizer) is kind
    decayed, exempt = optimizer.param_groups
    assert {id(p) for p in decayed["params"]} == {id(MODEL[0].weight), id(MODEL[3].weight)}
    assert len(exempt["params"]) == 4
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.3, 0.0)


def test_sgd_is_nesterov() -> None:
    optimizer = make_optimizer(MODEL, TrainConfig(optimizer="sgd"))
    assert optimizer.defaults["nesterov"]
    assert optimizer.defaults["momentum"] == 0.9


def test_onecycle_rises_then_falls_to_nothing() -> None:
    found = rates(schedule="onecycle")
    assert found[0] == pytest.approx(0.1 / 25)
    assert max(found) == pytest.approx(0.1)
    assert found.index(max(found)) == pytest.approx(30, abs=1)
    assert found[-1] < 1e-6


def test_cosine_warms_up_then_falls() -> None:
    found = rates(schedule="cosine", warmup_epochs=2)
    assert found[0] == pytest.approx(0.1 / 21)
    assert found[20] == pytest.approx(0.1)
    assert found[60] == pytest.approx(0.05)
    assert found == sorted(found[:20]) + sorted(found[20:], reverse=True)


def test_constant_stays() -> None:
    assert set(rates(schedule="constant")) == {0.1}


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_a_run_of_one_step_works(schedule: str) -> None:
    assert len(rates(steps=1, schedule=schedule, warmup_epochs=3)) == 1
