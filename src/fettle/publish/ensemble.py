"""An ensemble in Triton: its models, each published on its own, and the configuration that leads through them.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/architecture.md#ensemble-models
"""

import json
from dataclasses import replace

from google.protobuf import text_format

from fettle.card import Card
from fettle.export import Export, Tensor
from fettle.export.ensemble import VOTE, open_members
from fettle.export.manifest import FILES
from fettle.publish.approval import SignOff, file_digests
from fettle.publish.config import MEMBERS, ModelConfig, client_parameters, config_of, frame, label_file
from fettle.publish.release import Release, publish, published_as
from fettle.publish.repository import read_live, versions
from fettle.publish.steps import Steps
from fettle.spec.serve import ServeConfig
from fettle.storage import Store


def member_model(ensemble: str, member: str) -> str:
    """Return the name of a member's model; that of the vote is ``<ensemble>.vote``."""
    return f"{ensemble}.{member}"


def publish_members(
    store: Store, export: Export, name: str, serve: ServeConfig, sign_off: SignOff, card: Card
) -> Steps:
    """Publish the members and the vote, but for those that are there already; return the versions."""
    return {
        release.name: _published(store, release)
        for release in (
            *_member_releases(export, name, serve, sign_off, card),
            _vote_release(export, name, serve, sign_off, card),
        )
    }


def render(export: Export, *, name: str, version: int, steps: Steps, serve: ServeConfig) -> str:
    """Return the ``config.pbtxt`` of the ensemble: every member takes the image, the vote their probabilities."""
    members = {member: member_model(name, member) for member in open_members(export)}
    told = {member: {"model": model, "version": steps[model]} for member, model in members.items()}
    parameters = {**client_parameters(export), MEMBERS: json.dumps(told)}
    message = frame(name, version, (export.input,), export.outputs, serve.max_batch, parameters)
    message.platform = "ensemble"
    (answer, *_), image = export.outputs, export.input.name
    for member, model in members.items():
        message.ensemble_scheduling.step.add(
            model_name=model, model_version=steps[model], input_map={image: image}, output_map={answer.name: member}
        )
    vote = member_model(name, "vote")
    message.ensemble_scheduling.step.add(
        model_name=vote,
        model_version=steps[vote],
        input_map={member: member for member in members},
        output_map={output.name: output.name for output in export.outputs},
    )
    return str(text_format.MessageToString(message))


def ensemble_release(
    export: Export, name: str, steps: Steps, serve: ServeConfig, sign_off: SignOff, card: Card
) -> Release:
    """Return the release of the ensemble itself."""
    return Release(
        name=name,
        runtime="ensemble",
        files={FILES["ensemble"]: export.file},
        configure=lambda version: render(export, name=name, version=version, steps=steps, serve=serve),
        labels=label_file(export),
        sign_off=sign_off,
        card=card,
    )


def _published(store: Store, release: Release) -> int:
    """Return the version that has these files, the newest of several; publish them where none has."""
    for version in reversed(versions(store, release.name)):
        if published_as(store, release, version):
            return version
    return publish(store, release, read_live(store, release.name)).version


def _member_releases(export: Export, name: str, serve: ServeConfig, sign_off: SignOff, card: Card) -> list[Release]:
    return [
        Release(
            name=member_model(name, member),
            runtime=each.runtime,
            files={file.name: file for file in each.export.files},
            configure=lambda version, member=member, each=each: config_of(
                each.export, each.runtime, name=member_model(name, member), version=version, serve=serve
            ).render(),
            labels=label_file(each.export),
            sign_off=replace(sign_off, runtime=each.runtime, files=file_digests(each.export)),
            card=card,
        )
        for member, each in open_members(export).items()
    ]


def _vote_release(export: Export, name: str, serve: ServeConfig, sign_off: SignOff, card: Card) -> Release:
    (answer, *_) = export.outputs
    model = member_model(name, "vote")

    def configure(version: int) -> str:
        return ModelConfig(
            name=model,
            version=version,
            backend="onnxruntime",
            file=FILES["onnx"],
            inputs=tuple(Tensor(member, answer.dtype, answer.shape) for member in open_members(export)),
            outputs=export.outputs,
            max_batch=serve.max_batch,
            parameters={"intra_op_thread_count": "1"},
        ).render()

    return Release(
        name=model,
        runtime="onnxruntime",
        files={FILES["onnx"]: export.path / VOTE},
        configure=configure,
        labels=label_file(export),
        sign_off=sign_off,
        card=card,
    )
