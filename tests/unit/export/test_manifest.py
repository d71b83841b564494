"""The manifest survives writing and reading, and says what is wrong with a bad one."""

import dataclasses
import json
import subprocess
import sys

import pytest

from fettle import card
from fettle.errors import ArtifactError
from fettle.export import Export, Tensor, open_export, read_manifest


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "export"
    with card.create(path, kind="export", name="int8-openvino") as draft:
        manifest = Export(
            path=draft.path,
            task="classify",
            classes=("crack", "Kratzer ü"),
            recipe="int8",
            format="openvino",
            precision="int8",
            runtimes=("openvino",),
            input=Tensor("image", "uint8", (32, 32, 3)),
            outputs=(Tensor("probabilities", "float32", (2,)),),
            resize="pad",
            options={"openvino": {"HINT_BF16": "YES"}},
        )
        for file in manifest.files:
            file.write_bytes(b"weights")
        manifest.save()
    return dataclasses.replace(manifest, path=path)


def test_it_reads_what_it_wrote(export):
    assert open_export(export.path) == export


def test_it_knows_its_files(export):
    assert [file.name for file in export.files] == ["model.xml", "model.bin"]
    assert export.file == export.files[0]
    assert dataclasses.replace(export, format="onnx").files[0].name == "model.onnx"
    assert dataclasses.replace(export, format="tensorrt").file.name == "model.plan"
    assert export.image_size == 32


def test_options_are_those_of_one_runtime(export):
    assert export.runtime_options("openvino") == {"HINT_BF16": "YES"}
    assert export.runtime_options("onnxruntime") == {}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"classes": 3}', "null"])
def test_an_unreadable_manifest_is_an_artifact_error(export, content):
    (export.path / "export.json").write_text(content)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_manifest(export.path)


def test_an_unknown_key_is_an_artifact_error(export):
    raw = json.loads((export.path / "export.json").read_text())
    (export.path / "export.json").write_text(json.dumps({**raw, "surprise": 1}))
    with pytest.raises(ArtifactError, match="surprise"):
        read_manifest(export.path)


def test_altered_weights_are_an_artifact_error(export):
    export.files[1].write_bytes(b"other weights")
    with pytest.raises(ArtifactError, match="altered"):
        open_export(export.path)


def test_another_kind_or_nothing_is_an_artifact_error(tmp_path):
    with card.create(tmp_path / "model", kind="model", name="m"):
        pass
    with pytest.raises(ArtifactError, match="'export'"):
        open_export(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"no export\.json"):
        read_manifest(tmp_path / "model")


def test_the_room_is_light():
    code = "import sys, fettle.export; assert not {'torch', 'onnx', 'openvino'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
