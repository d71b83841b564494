"""The Triton backend, in this process with a stand-in for Triton's module."""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fettle.serve.backend
from fettle.export.manifest import Export
from fettle.publish.config import config_of
from fettle.runtimes import open_engine
from fettle.spec.serve import ServeConfig

Maker = Callable[..., Export]


@dataclass
class Tensor:
    name: str
    array: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.array


@dataclass
class Response:
    outputs: list[Tensor] | None = None
    error: str | None = None


class TritonModelException(Exception):  # noqa: N818 - Triton's name
    pass


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in = SimpleNamespace(
        get_input_tensor_by_name=lambda request, name: request[name],
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=str,
        TritonModelException=TritonModelException,
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in)
    file = Path(fettle.serve.backend.__file__).with_name("model.py")
    spec = importlib.util.spec_from_file_location("triton_model", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(export: Export, tmp_path: Path, **changes: Any) -> dict[str, str]:
    """Return what Triton hands to ``initialize`` for version 4 of a model."""
    config = config_of(export, "onnxruntime", name="m", version=4, serve=ServeConfig(max_batch=8))
    (tmp_path / "4").mkdir(exist_ok=True)
    (tmp_path / "4/model.onnx").write_bytes(export.file.read_bytes())
    raw = {
        "backend": config.backend,
        "default_model_filename": config.file,
        "max_batch_size": 8,
        "input": [{"name": "image", "dims": [8, 8, 3]}],
        "output": [{"name": "probabilities"}],
        "parameters": {name: {"string_value": value} for name, value in config.parameters.items()},
    } | changes
    return {"model_repository": str(tmp_path), "model_version": "4", "model_config": json.dumps(raw)}


def test_a_batch_of_requests_is_answered_request_by_request(
    backend: ModuleType, linear_export: Maker, tmp_path: Path
) -> None:
    export, model = linear_export(seed=5), backend.TritonPythonModel()
    model.initialize(arguments(export, tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    with open_engine("onnxruntime", export.file) as engine:
        expected = engine(images)[0]
    for sizes in ((8,), (1, 1, 1), (3, 1, 4), (2,)):
        ends = np.cumsum(sizes)
        rows = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        responses = model.execute([{"image": Tensor("image", images[each])} for each in rows])
        assert len(responses) == len(sizes)
        for each, response in zip(rows, responses, strict=True):
            assert response.outputs[0].name == "probabilities"
            np.testing.assert_allclose(response.outputs[0].array, expected[each], atol=1e-6)
    model.finalize()


def test_a_failing_engine_answers_each_request_with_an_error_and_lives(
    backend: ModuleType, linear_export: Maker, tmp_path: Path
) -> None:
    model = backend.TritonPythonModel()
    model.initialize(arguments(linear_export(seed=5), tmp_path))
    wrong = Tensor("image", np.zeros((1, 9, 9, 3), np.uint8))
    right = Tensor("image", np.zeros((1, 8, 8, 3), np.uint8))
    responses = model.execute([{"image": wrong}])
    assert "9, 9" in responses[0].error
    assert [response.error for response in model.execute([{"image": wrong}, {"image": right}])] != [None, None]
    assert model.execute([{"image": right}])[0].error is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"default_model_filename": "absent.onnx"}, r"absent\.onnx"),
        ({"backend": "pytorch"}, "pytorch"),
        ({"parameters": {"no_such_option": {"string_value": "1"}}}, "no_such_option"),
    ],
)
def test_what_cannot_be_opened_is_told_to_triton(
    backend: ModuleType, linear_export: Maker, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(TritonModelException, match=words):
        backend.TritonPythonModel().initialize(arguments(linear_export(), tmp_path, **changes))
