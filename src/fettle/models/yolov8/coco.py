"""The weights that Ultralytics trained on COCO, downloaded when a spec asks for them."""

import logging
from pathlib import Path

import torch
from ultralytics.nn.tasks import DetectionModel, torch_safe_load

from fettle.errors import SpecError

URL = "https://github.com/ultralytics/assets/releases/download/v8.4.0/yolov8{size}.pt"
log = logging.getLogger("fettle")


def load_coco(network: DetectionModel, size: str) -> None:
    """Download, once, and load.

    Raises:
        SpecError: If the file holds anything but a network of this size.
        OSError: If it cannot be downloaded.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / f"yolov8{size}.pt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL.format(size=size), str(file), progress=False)
    load_checkpoint(network, file)


def load_checkpoint(network: DetectionModel, file: Path) -> None:
    """Load the weights of one of Ultralytics' checkpoints, in place.

    It is a pickle of a whole network: ``torch.load(weights_only=True)`` reads it with the classes of layers allowed and
    nothing else, so that it cannot run code.

    Args:
        network: Of the same size; its class branch may have another number of classes.
        file: The ``.pt`` file.

    Raises:
        SpecError: If the file cannot be read so, or belongs to another network.
    """
    try:
        checkpoint, _ = torch_safe_load(str(file), safe_only=True)
        state = (checkpoint.get("ema") or checkpoint["model"]).float().state_dict()
    except Exception as error:  # whatever a damaged or hostile file brings up
        raise SpecError(f"`model.weights` {file} is no checkpoint of Ultralytics that can be read safely.") from error
    own = network.state_dict()
    branch = f"model.{len(network.model) - 1}.cv3."
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name not in fitting]
    if not all(name.startswith(branch) for name in missing):
        raise SpecError(f"`model.weights` {file} belongs to another network: {missing[0]} does not fit.")
    if missing:
        log.warning("%s has another number of classes: the class branch starts from scratch.", file)
    network.load_state_dict({**own, **fitting})
