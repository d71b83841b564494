"""What every section of a spec shares."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Task = Literal["classify", "detect", "embed"]
Split = Literal["train", "calib", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "calib", "val", "test")
RuntimeName = Literal["onnxruntime", "openvino", "tensorrt"]
Precision = Literal["float32", "fp16", "bf16", "int8"]


class Section(BaseModel):
    """A frozen section that refuses unknown keys; the nearest known key is named by the loader."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
