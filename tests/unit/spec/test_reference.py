"""The texts of the keys."""

import json
from pathlib import Path

from fettle.spec import reference

ROOT = Path(__file__).parents[3]


def test_every_key_has_a_text():
    assert not [key.name for key in reference.documented() if not key.text]


def test_a_section_can_be_asked_for():
    names = [key.name for key in reference.documented("train")]
    assert "train.epochs" in names
    assert "recipes.NAME[].prune.ratio" in [key.name for key in reference.documented("recipes")]
    assert all(name.startswith("train") for name in names)


def test_the_pages_are_those_that_the_texts_give():
    assert (ROOT / "docs/spec.md").read_text() == reference.markdown(), "run `make docs`"
    assert json.loads((ROOT / "docs/spec.schema.json").read_text()) == reference.schema(), "run `make docs`"
