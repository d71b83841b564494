"""The keys of the spec with their texts: for ``--help``, for ``docs/spec.md`` and as a JSON schema."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fettle.spec.recipes import RecipeStep
from fettle.spec.spec import Spec


@dataclass(frozen=True)
class Key:
    """One key: dotted name, type, default (``None`` where it has none to show), what it means."""

    name: str
    type: str
    default: Any
    text: str


def documented(section: str = "") -> list[Key]:
    """Return the keys below ``section`` (all, if empty) in the order in which a spec is written.

    Recipe steps stand as ``recipes.NAME[].prune.ratio``.
    """
    prefix = f"{section}." if section else ""
    return [key for key in _walk(Spec, "") if key.name.startswith(prefix) or key.name == section]


def schema() -> dict[str, Any]:
    """Return the JSON schema that editors use for completion and checks."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def markdown() -> str:
    """Return ``docs/spec.md``."""
    lines = [
        "# The spec",
        "",
        "Written by `fettle spec --markdown` from the same texts that `fettle spec` shows; do not edit.",
        "A value comes from, each over the one before: the default, the preset (`train` only), the YAML file, `.env`,",
        "environment variables (`FETTLE_TRAIN__EPOCHS=3`), overrides on the command line (`train.epochs=3`).",
        "Relative paths start at the folder in which the command runs.",
    ]
    section = None
    for key in documented():
        head = key.name.split(".")[0]
        if head != section:
            section = head
            lines += ["", f"## `{head}`", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        default = "" if key.default is None else f"`{_short(key.default)}`"
        kind = key.type.replace("|", "\\|")
        lines.append(f"| `{key.name}` | {kind} | {default} | {key.text} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        full = f"{prefix}{name}"
        section = _section(field.annotation)
        yield Key(full, _type_name(field.annotation), _default(field, section), _text(field))
        if full == "recipes":
            yield from _walk(RecipeStep, "recipes.NAME[].")
        elif full in ("tune.space", "cluster.steps"):
            continue
        elif section is not None:
            yield from _walk(section, f"{full}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *get_args(annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _default(field: FieldInfo, section: type[BaseModel] | None) -> Any:
    if section is not None or field.default is PydanticUndefined:
        return None
    return "null" if field.default is None else field.default


def _type_name(annotation: Any) -> str:
    if _section(annotation) is not None:
        return "section"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " | ".join(arguments)
    if origin in (Union, UnionType):
        return " | ".join(_type_name(each) for each in arguments)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type_name(each) for each in arguments)}]"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", "any").replace("Any", "any")


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "`").split())
