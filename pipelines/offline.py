"""Nothing is fetched at run time, whatever a library would like to look up."""

_OFFLINE = {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "offline", "DO_NOT_TRACK": "1"}


def offline(*, pretrained: bool) -> dict[str, str]:
    """Return the variables of a task; ``pretrained`` lets it download weights, because the spec says so."""
    return {name: value for name, value in _OFFLINE.items() if not (pretrained and name == "HF_HUB_OFFLINE")}
