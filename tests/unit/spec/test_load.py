"""The spec: layers of values, and errors that name key, place, value and remedy."""

from pathlib import Path

import pytest

from fettle.errors import SpecError
from fettle.spec import load_spec, resolve_spec


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "spec.yaml") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


def test_each_layer_wins_over_the_one_before(write):
    spec = write("train:\n  preset: plain\n  lr: 0.5\n  epochs: 1\n  batch_size: 2\n  seed: 1\n")
    dotenv = write("FETTLE_TRAIN__EPOCHS=2\nFETTLE_TRAIN__BATCH_SIZE=4\nFETTLE_TRAIN__SEED=2\n", ".env")
    env = {"FETTLE_TRAIN__BATCH_SIZE": "8", "FETTLE_TRAIN__SEED": "3"}
    train = load_spec(spec, overrides=["train.seed=4"], env=env, dotenv=dotenv).train
    assert (train.label_smoothing, train.lr, train.epochs, train.batch_size, train.seed) == (0.0, 0.5, 2, 8, 4)


def test_a_preset_is_a_set_of_values_that_any_key_overrides():
    defect, changed = load_spec().train, load_spec(overrides=["train.mixup=0"]).train
    assert defect.mixup > 0
    assert changed == defect.model_copy(update={"mixup": 0})


def test_an_unknown_key_is_refused_with_file_line_and_nearest_match(write):
    file = write("name: x\ntrain:\n  epochs: 3\n  epcohs: 4\n")
    with pytest.raises(SpecError, match=rf"{file}:4: train.epcohs is not a key of the spec; did you mean 'epochs'\?"):
        load_spec(file)


def test_keys_inside_recipes_are_matched_too(write):
    file = write("recipes:\n  int8:\n    - quantize: {precison: int8}\n")
    with pytest.raises(SpecError, match=rf"{file}:3: .*precison.* did you mean 'precision'"):
        load_spec(file)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epochs=three", ["train.epochs", "valid integer", "three"]),
        ("train.lr=-1", ["train.lr", "greater than 0", "-1"]),
        ("train.lr=.nan", ["train.lr", "finite"]),
        ("task=segment", ["task", "classify", "segment"]),
        ("recipes.int8=[]", ["int8", "no step"]),
        ("recipes.odd=[quantize,prune]", ["odd", "prune cannot follow quantize"]),
        ("recipes.odd=[{prune: {}, quantize: {}}]", ["one of"]),
        ("recipes.Int_8=[quantize]", ["Int_8", "lower-case"]),
        ("dataset.layout=pattern", ["label_pattern"]),
        ("dataset.label_pattern='(x'", ["regular expression"]),
        ("dataset.label_pattern='x'", ["group named label"]),
        ("dataset.split.test=0.8", ["leave at least"]),
        ("tune.space={train.lr: {low: 2, high: 1}}", ["low must be below high"]),
        ("train.epochs.more=1", ["train.epochs"]),
        ("nonsense", ["key=value"]),
    ],
)
def test_wrong_values_are_one_sentence_each(override, words):
    with pytest.raises(SpecError) as caught:
        load_spec(overrides=[override])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_all_mistakes_are_told_at_once(write):
    with pytest.raises(SpecError) as caught:
        load_spec(write("trian: {}\ntrain:\n  epochs: 0\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_variables_that_are_no_spec_keys_pass_and_misspelt_ones_do_not():
    load_spec(env={"FETTLE_TRITON": "/opt/triton", "PATH": "x"})
    with pytest.raises(SpecError, match=r"environment: FETTLE_TRIAN__EPOCHS.*did you mean 'train'"):
        load_spec(env={"FETTLE_TRIAN__EPOCHS": "3"})


@pytest.mark.parametrize("text", ["- a\n- b\n", "train: [\n", "a: 1\na: 2\n", "\tx: 1\n"])
def test_what_is_no_mapping_or_no_yaml_is_refused_with_its_line(write, text):
    with pytest.raises(SpecError, match=r"spec.yaml:\d"):
        load_spec(write(text))


def test_a_missing_spec_says_how_to_make_one():
    with pytest.raises(SpecError, match="fettle init"):
        load_spec(Path("nowhere.yaml"))


def test_a_resolved_spec_survives_storing(write):
    spec = load_spec(overrides=["recipes.p=[prune,{finetune: {distil: null}},quantize]", "gates.class_floor=null"])
    assert resolve_spec(spec.to_json()) == spec
