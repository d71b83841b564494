"""Classifiers that vote, as one export: the members' files, the graph of the vote, and who is who."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fettle.errors import ArtifactError, SpecError
from fettle.export.manifest import FILES, Export, Tensor, read_manifest

VOTE = "vote.onnx"
MEMBERS = "members"
RUNTIME = "ensemble"
VOTES = "votes"  # the members' probabilities, beside those of the vote
COARSENESS = ("float32", "fp16", "bf16", "int8")
OPSET, IR = 20, 10


@dataclass(frozen=True)
class Member:
    """A classifier in the runtime in which it votes."""

    export: Export
    runtime: str


def combine(members: Mapping[str, Member], weights: Mapping[str, float], folder: Path, *, recipe: str) -> Export:
    """Write an ensemble into ``folder``; the manifest is not written.

    Its outputs are ``probabilities`` (C,), the weighted mean, and ``votes`` (M, C), those of the members in their
    order.

    Args:
        members: By name.
        weights: Of each member, not negative, adding up to 1.
        folder: An existing folder.
        recipe: Name of the recipe.

    Raises:
        SpecError: If the weights are none, or of others.
        ArtifactError: If a member has other classes, or another order of them, another input, or is no classifier.
    """
    _check(members, weights)
    described = [_copy(name, member, folder) for name, member in members.items()]
    first = next(iter(members.values())).export
    _write_vote(folder / VOTE, tuple(members), [weights[name] for name in members], len(first.classes))
    text = json.dumps({"members": described, "vote": VOTE}, indent=1) + "\n"
    (folder / FILES[RUNTIME]).write_text(text)
    return Export(
        path=folder,
        task=first.task,
        classes=first.classes,
        recipe=recipe,
        format="ensemble",
        precision=max((member.export.precision for member in members.values()), key=COARSENESS.index),
        runtimes=(RUNTIME,),
        input=first.input,
        outputs=(*first.outputs, Tensor(VOTES, "float32", (len(members), len(first.classes)))),
        resize=first.resize,
    )


def open_members(export: Export) -> dict[str, Member]:
    """Return the members of an ensemble by name, as they lie in it."""
    described = json.loads(export.file.read_text())["members"]
    return {
        each["name"]: Member(read_manifest(export.path / MEMBERS / each["name"]), each["runtime"]) for each in described
    }


def _copy(name: str, member: Member, folder: Path) -> dict[str, object]:
    """Copy a member's files and manifest; return what the engine must know."""
    home = folder / MEMBERS / name
    home.mkdir(parents=True)
    for file in member.export.files:
        shutil.copyfile(file, home / file.name)
    copied = replace(member.export, path=home)
    copied.save()
    return {
        "name": name,
        "runtime": member.runtime,
        "file": copied.file.relative_to(folder).as_posix(),
        "options": dict(member.export.runtime_options(member.runtime)),
    }


def _check(members: Mapping[str, Member], weights: Mapping[str, float]) -> None:
    if len(members) < 2:
        raise SpecError(f"A vote needs two members at least, got {', '.join(members) or 'none'}.")
    values = np.array([weights.get(name, -1.0) for name in members])
    if weights.keys() != members.keys() or (values < 0).any() or abs(values.sum() - 1) > 1e-6:
        raise SpecError(f"`weights` must be one of each member, not negative, and add up to 1, got {dict(weights)}.")
    (name, first), *others = ((name, member.export) for name, member in members.items())
    for member_name, member in members.items():
        if member.export.task != "classify":
            raise ArtifactError(f"{member_name} has the task {member.export.task}: classifiers vote.")
        if member.runtime not in member.export.runtimes:
            raise SpecError(f"{member_name} runs in {', '.join(member.export.runtimes)}, not in {member.runtime!r}.")
    for other_name, other in others:
        if other.classes != first.classes:
            raise ArtifactError(
                f"{other_name} and {name} cannot vote together: {_other_classes(other.classes, first.classes)}. Train "
                "both on one dataset."
            )
        if (other.input, other.resize) != (first.input, first.resize):
            raise ArtifactError(
                f"{other_name} takes {other.input.shape} ({other.resize}), {name} {first.input.shape} "
                f"({first.resize}): one image goes to all members, train them at one `image_size`."
            )


def _other_classes(mine: Sequence[str], theirs: Sequence[str]) -> str:
    order = "the same classes in another order" if sorted(mine) == sorted(theirs) else "other classes"
    return f"they have {order}, {', '.join(mine)} and {', '.join(theirs)}"


def _write_vote(file: Path, names: Sequence[str], weights: Sequence[float], classes: int) -> None:
    """Write the graph: each name an input (N, C); out come ``probabilities`` (N, C) and ``votes`` (N, M, C)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {"one": np.array([1]), "weights": np.array(weights, np.float32).reshape(-1, 1)}
    nodes = [helper.make_node("Unsqueeze", [name, "one"], [f"{name}/vote"], name=f"{name}/vote") for name in names]
    nodes += [
        helper.make_node("Concat", [f"{name}/vote" for name in names], [VOTES], axis=1, name=VOTES),
        helper.make_node("Mul", [VOTES, "weights"], ["weighted"], name="weighted"),
        helper.make_node("ReduceSum", ["weighted", "one"], ["probabilities"], keepdims=0, name="probabilities"),
    ]

    def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    graph = helper.make_graph(
        nodes,
        "fettle",
        [tensor(name, classes) for name in names],
        [tensor("probabilities", classes), tensor(VOTES, len(names), classes)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=IR, opset_imports=opset, producer_name="fettle")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
