"""Read a spec: YAML, then ``.env``, then environment, then ``key=value`` overrides, each over the one before."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from fettle.errors import SpecError
from fettle.spec.spec import Spec

ENV_PREFIX = "FETTLE_"
Key = tuple[str | int, ...]


def load_spec(
    path: Path | None = None,
    *,
    overrides: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    dotenv: Path | None = None,
) -> Spec:
    """Return the resolved spec.

    Args:
        path: YAML file; ``None`` starts from the defaults.
        overrides: ``train.epochs=3``; the value is read as YAML. A bare ``null`` unsets.
        env: Environment variables, such as ``FETTLE_TRAIN__EPOCHS=3``; read by the entry point, not here.
        dotenv: File with such variables; one that is not there is passed over.

    Raises:
        SpecError: For each wrong key or value: the file and line (or variable, or override) where it stands, the
            value, and the nearest known key.
    """
    values, origins = _read_yaml(path) if path else ({}, {})
    for source, key, text in _assignments(overrides, env or {}, dotenv):
        _assign(values, origins, key, text, source)
    return _validate(values, origins, default_origin=str(path) if path else "spec")


def resolve_spec(values: Mapping[str, Any]) -> Spec:
    """Return the spec of plain values, such as a stored run's.

    Raises:
        SpecError: If a key or value is wrong.
    """
    return _validate(dict(values), {}, default_origin="spec")


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    try:
        document = YAML().load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no spec {str(path)!r}; `fettle init FOLDER` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"The spec {str(path)!r} cannot be read: {error}.") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SpecError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}.") from None
    if document is None:
        return {}, {}
    if not isinstance(document, dict):
        raise SpecError(f"{path}:1: a spec is a mapping of keys, got {type(document).__name__}.")
    origins: dict[Key, str] = {}
    values = _plain(document, (), origins, str(path))
    return values, origins


def _plain(node: Any, key: Key, origins: dict[Key, str], file: str) -> Any:
    """Turn ruamel's round-trip nodes into plain values, noting the line of each key."""
    if isinstance(node, CommentedMap):
        for name in node:
            origins[(*key, name)] = f"{file}:{node.lc.key(name)[0] + 1}"
        return {str(name): _plain(value, (*key, name), origins, file) for name, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            origins[(*key, index)] = f"{file}:{node.lc.item(index)[0] + 1}"
        return [_plain(value, (*key, index), origins, file) for index, value in enumerate(node)]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    """Return the builtin behind ruamel's ScalarFloat, ScalarInt and quoted strings."""
    for builtin in (bool, int, float, str):
        if isinstance(node, builtin):
            return builtin(node)
    return node


def _assignments(
    overrides: Iterable[str], env: Mapping[str, str], dotenv: Path | None
) -> Iterator[tuple[str, Key, str]]:
    from dotenv import dotenv_values

    file = {key: value or "" for key, value in dotenv_values(dotenv).items()} if dotenv and dotenv.is_file() else {}
    for source, variables in ((str(dotenv), file), ("environment", env)):
        for name, text in variables.items():
            key = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
            # FETTLE_TRITON and the like are not spec keys; FETTLE_TRIAN__EPOCHS is a mistake.
            if name.startswith(ENV_PREFIX) and (len(key) > 1 or key[0] in Spec.model_fields):
                yield f"{source}: {name}", key, text
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise SpecError(f"The override {override!r} is not of the form key=value, such as train.epochs=3.")
        yield f"override {override!r}", tuple(name.split(".")), text


def _assign(values: dict[str, Any], origins: dict[Key, str], key: Key, text: str, source: str) -> None:
    try:
        value = YAML(typ="safe").load(text) if text else None
    except YAMLError:
        value = text
    node: Any = values
    for depth, part in enumerate(key[:-1]):
        if isinstance(node, list):
            node = node[_index(node, part, source)]
            continue
        child = node.get(part)
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict | list):
            raise SpecError(f"{source}: {'.'.join(map(str, key[: depth + 1]))} is a value, it has no keys below it.")
        node = child
    node[_index(node, key[-1], source) if isinstance(node, list) else key[-1]] = value
    for known in [known for known in origins if known[: len(key)] == key]:
        del origins[known]
    origins[key] = source


def _index(node: list[Any], part: str | int, source: str) -> int:
    if not str(part).isdigit() or int(part) >= len(node):
        raise SpecError(f"{source}: {part!r} is not an index of a list of {len(node)}.")
    return int(part)


def _validate(values: dict[str, Any], origins: Mapping[Key, str], *, default_origin: str) -> Spec:
    try:
        return Spec.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(problem, origins, default_origin) for problem in error.errors(include_url=False)]
        raise SpecError("\n".join(dict.fromkeys(lines))) from None


def _sentence(problem: Mapping[str, Any], origins: Mapping[Key, str], default_origin: str) -> str:
    key: Key = tuple(problem["loc"])
    where = _origin(key, origins) or default_origin
    name = ".".join(map(str, key)) or "the spec"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(key[-1]), _keys_at(key[:-1]), n=1, cutoff=0.5)
        known = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(_keys_at(key[:-1]))}."
        return f"{where}: {name} is not a key of the spec; {known}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    value = problem["input"]
    got = "" if isinstance(value, dict) else f", got {value!r}"
    return f"{where}: {name}: {message}{got}."


def _origin(key: Key, origins: Mapping[Key, str]) -> str | None:
    """Return where ``key`` was set: itself, something below it, or the nearest key above."""
    if key in origins:
        return origins[key]
    below = (origin for known, origin in origins.items() if key and known[: len(key)] == key)
    above = (origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in origins)
    return next(below, next(above, None))


def _keys_at(key: Key) -> list[str]:
    """Return the known keys of the section at ``key``."""
    found: Any = Spec
    for part in key:
        fields = found.model_fields if _is_section(found) else {}
        annotation = fields[str(part)].annotation if str(part) in fields else found
        found = next((each for each in _sections(annotation)), annotation)
    return list(found.model_fields) if _is_section(found) else []


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if _is_section(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def _is_section(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
