"""The canvas of a casting: its relief and colour on a grid finer than the photograph."""

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Points = NDArray[np.float64]
OVERSAMPLING = 2


@dataclass
class Scene:
    """A part seen from above; what is drawn changes the planes in place.

    Lengths are in radii of the part. Planes are (P, P) float32 with P = size * OVERSAMPLING.

    Attributes:
        size: Height and width of the photograph in pixels.
        view: (3, 3) homography from grid points (x, y) to the part's plane (u, v).
        height: Relief above the table.
        albedo: (P, P, 3) float32, the share of light that is reflected, RGB.
        solid: 1 on the part, 0 beside it and in its holes.
    """

    size: int
    view: Points
    height: Plane = field(init=False)
    albedo: Plane = field(init=False)
    solid: Plane = field(init=False)

    def __post_init__(self) -> None:
        side = self.size * OVERSAMPLING
        self.height = np.zeros((side, side), np.float32)
        self.albedo = np.zeros((side, side, 3), np.float32)
        self.solid = np.zeros((side, side), np.float32)

    @cached_property
    def uv(self) -> tuple[Plane, Plane]:
        """Coordinates on the part at each grid point; its axis is at 0."""
        grid = np.arange(self.size * OVERSAMPLING, dtype=np.float32)
        x, y = np.meshgrid(grid, grid)
        u, v, w = (row[0] * x + row[1] * y + row[2] for row in self.view.astype(np.float32))
        return u / w, v / w

    @cached_property
    def radius(self) -> Plane:
        return np.hypot(*self.uv)

    @cached_property
    def angle(self) -> Plane:
        u, v = self.uv
        return np.arctan2(v, u)

    @cached_property
    def pixel(self) -> float:
        """Length of a pixel of the photograph at the part's axis."""
        centre = self.grid_points(np.zeros((1, 2)))[0]
        across = cv2.perspectiveTransform(np.array([[centre, centre + np.array([OVERSAMPLING, 0])]]), self.view)[0]
        return float(np.linalg.norm(across[1] - across[0]))

    def grid_points(self, points: Points) -> Points:
        """Return where (K, 2) points of the part lie on the grid, as (x, y)."""
        return np.asarray(cv2.perspectiveTransform(points[None], np.linalg.inv(self.view))[0])

    def paint(self, mask: Plane, colour: NDArray[np.float64] | float) -> None:
        """Mix ``colour`` into the albedo by ``mask`` in [0, 1]."""
        self.albedo += mask[..., None] * (np.asarray(colour, np.float32) - self.albedo)

    def tone(self, factor: Plane) -> None:
        """Scale the albedo by ``factor``."""
        self.albedo *= factor[..., None]


def pose(size: int, rng: np.random.Generator) -> Points:
    """Return a view in which the part is turned, shifted, nearer or farther, and a little tilted."""
    half = size * OVERSAMPLING / 2
    to_unit = np.array([[1 / half, 0, -1], [0, 1 / half, -1], [0, 0, 1]])
    turn, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(1.05, 1.18)
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    place = np.array([[cos, -sin, rng.uniform(-0.06, 0.06)], [sin, cos, rng.uniform(-0.06, 0.06)], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [*rng.uniform(-0.06, 0.06, 2), 1]])
    return np.asarray(place @ tilt @ to_unit)


def step(value: Plane, edge: float, width: float) -> Plane:
    """Rise smoothly from 0 to 1 where ``value`` passes ``edge``."""
    t = np.clip((value - edge) / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def noise(shape: tuple[int, ...], grain: float, rng: np.random.Generator) -> Plane:
    """Smooth noise of unit variance whose features are about ``grain`` grid points wide."""
    coarse = rng.standard_normal([int(side / grain) + 4 for side in shape], dtype=np.float32)
    fine = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine / (fine.std() + 1e-6), np.float32)
