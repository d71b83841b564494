"""The models that an ensemble is made of: which versions it names, and that these are served as long as it does.

A version of an ensemble names a version of each of its models, so that what was judged together answers together. The
policy of such a model names the versions of the ensemble's live version and of the one before: Triton loads the new
ones before the ensemble asks them, and a server that looks later, or goes back, finds the old ones there.
"""

from collections.abc import Iterable, Mapping

from fettle.errors import SpecError
from fettle.publish.config import parse, served_versions, with_versions
from fettle.publish.repository import (
    CONFIG,
    Event,
    commit,
    history,
    log_event,
    models,
    now,
    read_live,
    read_record,
    verify_version,
)
from fettle.storage import Store

Steps = Mapping[str, int]  # model -> version


def steps_of(text: str, *, source: str) -> dict[str, int]:
    """Return the models of the ensemble that a ``config.pbtxt`` describes; of any other model none."""
    steps = parse(text, source=source).ensemble_scheduling.step
    return {step.model_name: int(step.model_version) for step in steps}


def live_steps(store: Store, model: str) -> dict[str, int]:
    """Return the models of a live ensemble; none where it is no ensemble, or not live."""
    live = read_live(store, model)
    return steps_of(live.text, source=f"{store.url}/{model}/{CONFIG}") if live else {}


def pins(store: Store, model: str) -> frozenset[int]:
    """Return the versions of ``model`` that an ensemble names, in its live version or in the one before."""
    owners = [name for name in models(store) if model.startswith(f"{name}.")]
    named = [steps for owner in owners for steps in (live_steps(store, owner), _steps_before(store, owner))]
    return frozenset(steps[model] for steps in named if model in steps)


def _steps_before(store: Store, model: str) -> dict[str, int]:
    """Return the models of the version that an ensemble's live one replaced."""
    live = read_live(store, model)
    previous = read_record(store, model, live.version).previous if live else None
    return version_steps(store, model, previous) if previous else {}


def version_steps(store: Store, model: str, version: int) -> dict[str, int]:
    """Return the models of a version of an ensemble."""
    key = f"{model}/{version}/{CONFIG}"
    return steps_of(store.read(key).decode(), source=f"{store.url}/{key}")


def hold(store: Store, steps: Steps, *, by: str) -> None:
    """Have the versions of ``steps`` served beside those that are: an ensemble is about to name them.

    Raises:
        SpecError: If Triton cannot serve both versions of a model.
        ArtifactError: If a version is damaged.
        ConflictError: If somebody else changed a model meanwhile.
    """
    for model, version in steps.items():
        served = _served(store, model)
        if version not in served:
            verify_version(store, read_record(store, model, version))
            _serve(store, model, {version, *served}, by)


def settle(store: Store, steps: Steps, *, before: Steps, by: str) -> None:
    """Have the versions of ``steps``, which an ensemble names now, and those that it named before served, no others.

    That also brings back what another promoter, who lost, took for superfluous.
    """
    for model, version in steps.items():
        wanted = {version, before.get(model, version)}
        if wanted != set(_served(store, model)):
            _serve(store, model, wanted, by)


def _served(store: Store, model: str) -> tuple[int, ...]:
    live = read_live(store, model)
    return served_versions(live.text, source=model) if live else ()


def _serve(store: Store, model: str, wanted: set[int], by: str) -> None:
    live, events = read_live(store, model), history(store, model)
    commit(store, model, together(store, model, wanted), replacing=live)
    if live is None or live.version != max(wanted):
        log_event(store, model, Event(now(), max(wanted), "promote", by), before=events)


def together(store: Store, model: str, versions: Iterable[int]) -> str:
    """Return the ``config.pbtxt`` that serves several versions of a model.

    Raises:
        SpecError: If they are of different runtimes: a model has one configuration for all its versions.
    """
    texts = {version: store.read(f"{model}/{version}/{CONFIG}").decode() for version in sorted(versions)}
    *older, (newest, text) = texts.items()
    for version, other in older:
        if _engine(other) != _engine(text):
            raise SpecError(
                f"{model}: version {newest} has another runtime, or other parameters or tensors, than version "
                f"{version}, and an ensemble still names that one. Triton serves both by one configuration: promote "
                "under another `serve.model_name`."
            )
    return with_versions(text, texts, source=model)


def _engine(text: str) -> tuple[object, ...]:
    """Return what all versions of a model share."""
    config = parse(text, source="config.pbtxt")
    parameters = {
        name: value.string_value for name, value in config.parameters.items() if not name.startswith("fettle.")
    }
    tensors = [(each.name, each.data_type, tuple(each.dims)) for each in (*config.input, *config.output)]
    return config.backend, config.default_model_filename, parameters, tensors
