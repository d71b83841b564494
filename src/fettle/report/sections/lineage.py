"""Where the winner comes from, and what it was made and measured with."""

from collections.abc import Mapping
from typing import Any

from fettle.card import Artifact, Card
from fettle.report.sources import Sources

KINDS = ("confirmation", "promotion", "selection", "benchmark", "validation", "model", "dataset")


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the chain of cards, from the last artifact of the winner down to the data."""
    found = _last(sources)
    if found is None:
        return None
    return {"root": _node(found.card.brief(), "", set())}


def build_machine(sources: Sources) -> dict[str, Any] | None:
    """Tell versions and hardware: of all artifacts, since they may be made on several machines."""
    cards = [artifact.card for artifact in sources.artifacts]
    machines: dict[str, dict[str, Any]] = {}
    for card in cards:
        key = str(card.hardware.get("fingerprint", "unknown"))
        machines.setdefault(key, {"hardware": card.hardware, "made": []})["made"].append(f"{card.kind} {card.name}")
    return {
        "machines": machines,
        "versions": _versions(cards),
        "benchmark": sources.benchmark,
        "seconds": sum(card.seconds for card in cards),
        "created": max(card.created for card in cards),
    }


def _last(sources: Sources) -> Artifact | None:
    """Return the winner's validation if there is one: a selection's tree would show every candidate's."""
    winner = sources.winner
    if winner and winner.name in sources.validations:
        return sources.validations[winner.name][0]
    return next((found for kind in KINDS if (found := sources.one(kind))), None)


def _node(brief: Mapping[str, Any], role: str, seen: set[str]) -> dict[str, Any]:
    """Return a tree of cards; what was told above is not told again."""
    digest = brief["digest"]
    again = digest in seen
    seen.add(digest)
    parents = {} if again else brief["parents"]
    return {
        "role": role,
        "kind": brief["kind"],
        "name": brief["name"],
        "digest": digest.removeprefix("sha256:")[:12],
        "again": again and bool(brief["parents"]),
        "parents": [_node(parent, name, seen) for name, parent in parents.items()],
    }


def _versions(cards: list[Card]) -> dict[str, str]:
    """Return each package's versions; more than one where the artifacts differ."""
    found: dict[str, dict[str, None]] = {}
    for card in cards:
        for package, version in card.versions.items():
            found.setdefault(package, {})[version] = None
    return {package: ", ".join(versions) for package, versions in found.items()}
