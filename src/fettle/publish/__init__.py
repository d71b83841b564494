"""The Triton model repository: approve, promote, roll back. Versions are immutable; one write is the commit.

::

    <model>/config.pbtxt          what Triton serves: the version policy names what is live. Its write is the commit.
    <model>/history.json          what was promoted and rolled back when
    <model>/<N>/model.onnx        the model (or model.xml and model.bin, or model.plan)
    <model>/<N>/labels.txt        class names by index
    <model>/<N>/config.pbtxt      the configuration that this version is served with
    <model>/<N>/fettle.json       digests, sign-off, lineage, and the version that was live before
"""

from fettle.publish.approval import SignOff, approve, approve_by_gates
from fettle.publish.config import ModelConfig
from fettle.publish.promotion import Promotion, promote
from fettle.publish.repository import Event, Record, history, live_version
from fettle.publish.rollback import rollback

__all__ = [
    "Event",
    "ModelConfig",
    "Promotion",
    "Record",
    "SignOff",
    "approve",
    "approve_by_gates",
    "history",
    "live_version",
    "promote",
    "rollback",
]
