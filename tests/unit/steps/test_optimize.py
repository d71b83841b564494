"""Steps prune, export, quantize and tensorrt on real artifacts: files, manifests, lineage, refusals."""

import json

import pytest
import torch

from fettle import card
from fettle.data import open_dataset
from fettle.errors import ArtifactError, HardwareError, OptimizeError
from fettle.export import open_export
from fettle.models import Architecture, build_model, load_model, save_model
from fettle.optimize.reconstruction import estimate_norms, reconstruction_images
from fettle.spec import PruneConfig, QuantizeConfig, TensorRTConfig
from fettle.steps.export import export
from fettle.steps.prune import prune
from fettle.steps.quantize import quantize
from fettle.steps.tensorrt import tensorrt


@pytest.fixture(scope="module")
def model(castings_dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model"
    architecture = Architecture("classify", "test_resnet", ("defective", "ok"), 32)
    torch.manual_seed(0)
    network = build_model(architecture)
    estimate_norms(network, reconstruction_images(open_dataset(castings_dataset), architecture))
    with card.create(path, kind="model", name="test_resnet") as draft:
        save_model(draft.path, network, architecture)
    return path


@pytest.fixture(scope="module")
def exported(model, castings_dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "export"
    export(model, path, dataset=castings_dataset, recipe="baseline")
    return path


def alter(path):
    """Change one byte of an artifact's largest file, as a bad disk would."""
    file = max((file for file in path.iterdir() if file.name != card.CARD), key=lambda file: file.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_export_describes_what_it_wrote(exported, model):
    manifest = open_export(exported)
    assert manifest.classes == ("defective", "ok")
    assert (manifest.recipe, manifest.format, manifest.precision, manifest.resize) == (
        "baseline",
        "onnx",
        "float32",
        "squash",
    )
    assert manifest.runtimes == ("onnxruntime", "openvino")
    assert manifest.input.shape == (32, 32, 3)
    assert manifest.outputs[0].shape == (2,)
    assert card.read_card(exported).parents["model"]["digest"] == card.read_card(model).digest


def test_the_same_export_has_the_same_digest(exported, model, castings_dataset, tmp_path):
    again = export(model, tmp_path / "again", dataset=castings_dataset, recipe="baseline")
    assert again.card.digest == card.read_card(exported).digest


@pytest.mark.parametrize("importance", ["group_norm", "taylor"])
def test_prune_writes_a_smaller_model_that_loads(model, castings_dataset, tmp_path, importance):
    config = PruneConfig(importance=importance, width_step=8)
    pruned = prune(model, tmp_path / "pruned", dataset=castings_dataset, config=config)
    network, architecture = load_model(pruned.path)
    dense, _ = load_model(model)
    share = 1 - sum(p.numel() for p in network.parameters()) / sum(p.numel() for p in dense.parameters())
    assert share == pytest.approx(0.3, abs=0.05)
    assert pruned.card.summary["params_removed"] == pytest.approx(share, abs=1e-3)
    assert architecture.plan
    assert pruned.card.parents["model"]["digest"] == card.read_card(model).digest
    again = prune(model, tmp_path / "again", dataset=castings_dataset, config=config)
    assert again.card.digest == pruned.card.digest


def test_a_pruned_model_answers_as_the_whole_one_unless_it_is_left_as_it_is(model, castings_dataset, tmp_path):
    dense, architecture = load_model(model)
    images = reconstruction_images(open_dataset(castings_dataset), architecture)

    def misses(reconstruct: bool) -> float:
        config = PruneConfig(ratio=0.5, width_step=8, reconstruct=reconstruct)
        pruned = prune(model, tmp_path / f"pruned-{reconstruct}", dataset=castings_dataset, config=config)
        network, _ = load_model(pruned.path)
        with torch.no_grad():
            return float((network(images) - dense(images)).square().mean())

    assert misses(True) < 0.3 * misses(False)


def test_statistics_that_a_short_training_left_behind_do_not_spoil_what_is_pruned(model, castings_dataset, tmp_path):
    network, architecture = load_model(model)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
    with card.create(tmp_path / "stale", kind="model", name="test_resnet") as draft:
        save_model(draft.path, network, architecture)

    def pruned(source):
        config = PruneConfig(ratio=0.5, width_step=8)
        found, _ = load_model(
            prune(source, tmp_path / f"of-{source.name}", dataset=castings_dataset, config=config).path
        )
        return found.state_dict()

    known, stale = pruned(model), pruned(tmp_path / "stale")
    for name, value in known.items():
        torch.testing.assert_close(stale[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("runtime", "files"), [("onnxruntime", {"model.onnx"}), ("openvino", {"model.xml", "model.bin"})]
)
def test_quantize_writes_for_one_runtime(exported, castings_dataset, tmp_path, runtime, files):
    made = quantize(
        exported, castings_dataset, tmp_path / "int8", config=QuantizeConfig(images=4), recipe="int8", runtime=runtime
    )
    manifest = open_export(made.path)
    assert (manifest.recipe, manifest.precision, manifest.runtimes) == ("int8", "int8", (runtime,))
    assert set(made.card.files) == files | {"export.json"}
    assert made.card.parents["export"]["digest"] == card.read_card(exported).digest
    assert made.card.summary["megabytes"] < 0.4 * made.card.summary["parent_megabytes"]


def test_int8_of_a_real_size_is_at_most_30_percent(castings_dataset, tmp_path):
    """Tiny networks are mostly graph; ResNet-18 is mostly weights."""
    architecture = Architecture("classify", "resnet18", ("defective", "ok"), 32)
    with card.create(tmp_path / "model", kind="model", name="resnet18") as draft:
        save_model(draft.path, build_model(architecture), architecture)
    export(tmp_path / "model", tmp_path / "export", dataset=castings_dataset, recipe="baseline")
    made = quantize(
        tmp_path / "export",
        castings_dataset,
        tmp_path / "int8",
        config=QuantizeConfig(images=2),
        recipe="int8",
        runtime="onnxruntime",
    )
    assert made.card.summary["megabytes"] <= 0.3 * made.card.summary["parent_megabytes"]


@pytest.mark.parametrize("max_drop", [0.0, 0.99])
def test_quantize_within_a_drop_tells_the_card_what_it_found(exported, castings_dataset, tmp_path, max_drop):
    config = QuantizeConfig(images=4, max_drop=max_drop)
    made = quantize(exported, castings_dataset, tmp_path / "int8", config=config, recipe="int8", runtime="onnxruntime")
    told = made.card.summary
    assert told["measure"] == "accuracy"
    assert told["after"] >= told["before"] - max_drop
    assert bool(told["kept_float"]) == (told["all_quantized"] < told["before"] - max_drop)


def test_a_failed_step_leaves_nothing(exported, castings_dataset, tmp_path):
    with pytest.raises(OptimizeError, match="onnxruntime cannot run bf16"):
        quantize(
            exported,
            castings_dataset,
            tmp_path / "out",
            config=QuantizeConfig(precision="bf16"),
            recipe="bf16",
            runtime="onnxruntime",
        )
    assert list(tmp_path.iterdir()) == []


def test_altered_parents_are_refused(model, castings_dataset, tmp_path):
    with card.create(tmp_path / "model", kind="model", name="m") as draft:
        for file in ("model.safetensors", "model.json"):
            (draft.path / file).write_bytes((model / file).read_bytes())
    alter(tmp_path / "model")
    for step in (
        lambda out: export(tmp_path / "model", out, dataset=castings_dataset, recipe="baseline"),
        lambda out: prune(tmp_path / "model", out, dataset=castings_dataset, config=PruneConfig()),
    ):
        with pytest.raises(ArtifactError, match="altered"):
            step(tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_another_kind_is_refused(exported, castings_dataset, tmp_path):
    with pytest.raises(ArtifactError, match="'model'"):
        export(exported, tmp_path / "out", dataset=castings_dataset, recipe="baseline")
    with pytest.raises(ArtifactError, match="'export'"):
        quantize(
            castings_dataset,
            castings_dataset,
            tmp_path / "out",
            config=QuantizeConfig(),
            recipe="int8",
            runtime="openvino",
        )


def test_ruined_weights_are_not_exported(castings_dataset, tmp_path):
    architecture = Architecture("classify", "test_resnet", ("defective", "ok"), 32)
    network = build_model(architecture)
    next(network.parameters()).data.fill_(float("nan"))
    with card.create(tmp_path / "model", kind="model", name="m") as draft:
        save_model(draft.path, network, architecture)
    with pytest.raises(OptimizeError, match="not finite"):
        export(tmp_path / "model", tmp_path / "out", dataset=castings_dataset, recipe="baseline")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_tensorrt_says_what_is_missing_and_writes_nothing(exported, castings_dataset, tmp_path):
    with pytest.raises(HardwareError, match="TensorRT"):
        tensorrt(exported, castings_dataset, tmp_path / "out", config=TensorRTConfig(), recipe="tensorrt")
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_json_that_others_can_read(exported):
    raw = json.loads((exported / "export.json").read_text())
    assert raw["input"] == {"name": "image", "dtype": "uint8", "shape": [32, 32, 3]}
    assert "path" not in raw, "artifacts move"
