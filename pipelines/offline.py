"""Nothing is fetched at run time, whatever a library would like to look up."""

OFFLINE = {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "offline", "DO_NOT_TRACK": "1"}
