"""Copy-paste for boxes: Ultralytics' own pastes outlined objects only, and does nothing to a data set of boxes."""

import random
from typing import Any

from ultralytics.data.augment import CopyPaste


class BoxCopyPaste(CopyPaste):  # type: ignore[misc]
    """Paste boxes of the mirrored image where they cover little of other boxes (Ghiasi et al. 2021, arXiv:2012.07177).

    Args:
        p: Chance of each box that fits. (The base class pastes that share of them, rounded: of three boxes none.)
    """

    def __init__(self, p: float) -> None:
        super().__init__(p=1.0, mode="flip")  # it selects all that fit; we choose
        self.chance = p

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        if not self.chance or not len(labels["instances"]):
            return labels
        params = self.get_params(labels)
        params["selected"] = [index for index in params["selected"] if random.random() < self.chance]
        return self.apply_instances(self.apply_image(labels, params), params)  # type: ignore[no-any-return]

    def apply_image(self, labels: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        assert params is not None
        image = labels["img"].copy()
        height, width = image.shape[:2]
        mirrored = labels["img"][:, ::-1]
        for left, top, right, bottom in params["instances2"].bboxes[params["selected"]].round().astype(int):
            place = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
            image[place] = mirrored[place]
        labels["img"] = image
        return labels
