"""An ensemble in Triton: its models, each published on its own, and the configuration that leads through them.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/architecture.md#ensemble-models
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from google.protobuf import text_format

from fettle.card import Card
from fettle.errors import ArtifactError, StorageError
from fettle.export import Export, Tensor
from fettle.export.ensemble import VOTE, Member, open_members
from fettle.export.manifest import FILES
from fettle.publish.approval import SignOff, file_digests
from fettle.publish.config import MEMBERS, ModelConfig, client_parameters, frame, label_file
from fettle.publish.release import Release, publish, published_as, release_of
from fettle.publish.repository import read_live, verify_version, versions
from fettle.publish.steps import Steps
from fettle.spec.serve import ServeConfig
from fettle.storage import Store


@dataclass(frozen=True)
class Ensemble:
    """An approved export of several members, on its way to the repository as ``name``.

    Its members become models ``<name>.<member>``, the vote ``<name>.vote``.
    """

    export: Export
    name: str
    serve: ServeConfig
    sign_off: SignOff
    card: Card

    @cached_property
    def members(self) -> Mapping[str, Member]:
        return open_members(self.export)

    def publish_models(self, store: Store) -> Steps:
        """Publish the members and the vote, but for those that are there already; return their versions."""
        releases = [*(self._member(name, member) for name, member in self.members.items()), self._vote()]
        return {release.name: _published(store, release) for release in releases}

    def release(self, steps: Steps) -> Release:
        """Return the release of the ensemble itself, over those versions of its models."""
        return Release(
            name=self.name,
            runtime="ensemble",
            files={FILES["ensemble"]: self.export.file},
            configure=lambda version: self.render(version, steps),
            labels=label_file(self.export),
            sign_off=self.sign_off,
            card=self.card,
        )

    def render(self, version: int, steps: Steps) -> str:
        """Return the ``config.pbtxt``: every member takes the image, the vote their probabilities."""
        models = {member: self._model(member) for member in self.members}
        told = {member: {"model": model, "version": steps[model]} for member, model in models.items()}
        parameters = {**client_parameters(self.export), MEMBERS: json.dumps(told)}
        (answer, *_), image = self.export.outputs, self.export.input
        message = frame(self.name, version, (image,), self.export.outputs, self.serve.max_batch, parameters)
        message.platform = "ensemble"
        for member, model in models.items():
            message.ensemble_scheduling.step.add(
                model_name=model,
                model_version=steps[model],
                input_map={image.name: image.name},
                output_map={answer.name: member},
            )
        vote = self._model("vote")
        message.ensemble_scheduling.step.add(
            model_name=vote,
            model_version=steps[vote],
            input_map={member: member for member in models},
            output_map={output.name: output.name for output in self.export.outputs},
        )
        return str(text_format.MessageToString(message))

    def _model(self, member: str) -> str:
        return f"{self.name}.{member}"

    def _member(self, name: str, member: Member) -> Release:
        sign_off = replace(self.sign_off, runtime=member.runtime, files=file_digests(member.export))
        return release_of(member.export, member.runtime, self._model(name), self.serve, sign_off, self.card)

    def _vote(self) -> Release:
        (answer, *_) = self.export.outputs

        def configure(version: int) -> str:
            return ModelConfig(
                name=self._model("vote"),
                version=version,
                backend="onnxruntime",
                file=FILES["onnx"],
                inputs=tuple(Tensor(member, answer.dtype, answer.shape) for member in self.members),
                outputs=self.export.outputs,
                max_batch=self.serve.max_batch,
                parameters={"intra_op_thread_count": "1"},  # there is nothing to share
            ).render()

        return Release(
            name=self._model("vote"),
            runtime="onnxruntime",
            files={FILES["onnx"]: self.export.path / VOTE},
            configure=configure,
            labels=label_file(self.export),
            sign_off=self.sign_off,
            card=self.card,
        )


def _published(store: Store, release: Release) -> int:
    """Return the version that has these files, the newest of several; publish them where none has.

    A version that a killed promotion left unfinished has a record, and not the files that it tells of.
    """
    for version in reversed(versions(store, release.name)):
        if record := published_as(store, release, version):
            with contextlib.suppress(ArtifactError, StorageError):
                verify_version(store, record)
                return version
    return publish(store, release, read_live(store, release.name)).version
