"""The spec: one YAML file that says what to do."""

from fettle.spec.base import SPLITS, Precision, RuntimeName, Section, Split, Task
from fettle.spec.cluster import ClusterConfig, PodConfig
from fettle.spec.dataset import DatasetConfig, SplitConfig
from fettle.spec.detections import DetectionConfig
from fettle.spec.ensemble import EnsembleConfig, MemberConfig
from fettle.spec.gates import BenchmarkConfig, GateConfig
from fettle.spec.load import load_spec, resolve_spec
from fettle.spec.model import ModelConfig
from fettle.spec.recipes import (
    FinetuneConfig,
    PruneConfig,
    QuantizeConfig,
    Recipe,
    RecipeStep,
    SpeedConfig,
    TensorRTConfig,
    TtaConfig,
)
from fettle.spec.search import SearchConfig
from fettle.spec.serve import ProfileName, ServeConfig
from fettle.spec.spec import Spec
from fettle.spec.train import BalanceConfig, DetectionLossConfig, DistilConfig, TrainConfig
from fettle.spec.tune import Range, TuneConfig
from fettle.spec.verification import VerificationConfig

__all__ = [
    "SPLITS",
    "BalanceConfig",
    "BenchmarkConfig",
    "ClusterConfig",
    "DatasetConfig",
    "DetectionConfig",
    "DetectionLossConfig",
    "DistilConfig",
    "EnsembleConfig",
    "FinetuneConfig",
    "GateConfig",
    "MemberConfig",
    "ModelConfig",
    "PodConfig",
    "Precision",
    "ProfileName",
    "PruneConfig",
    "QuantizeConfig",
    "Range",
    "Recipe",
    "RecipeStep",
    "RuntimeName",
    "SearchConfig",
    "Section",
    "ServeConfig",
    "Spec",
    "SpeedConfig",
    "Split",
    "SplitConfig",
    "Task",
    "TensorRTConfig",
    "TrainConfig",
    "TtaConfig",
    "TuneConfig",
    "VerificationConfig",
    "load_spec",
    "resolve_spec",
]
