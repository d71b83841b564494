"""The defects: each marks the relief and the colour, and returns where it is."""

import itertools
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from fettle.data.castings.scene import OVERSAMPLING, Plane, Points, Scene, noise, step

Draw = Callable[[Scene, np.random.Generator], Plane]
SHIFT = 4  # fractional bits of the points that OpenCV draws
RUST = np.array([0.34, 0.13, 0.04])


def blowhole(scene: Scene, rng: np.random.Generator) -> Plane:
    """Gas bubbles that broke the surface: small round pits, dark inside, with a lit far wall."""
    x, y = _place(scene, rng, 0.12, 0.9)
    found = np.zeros_like(scene.solid)
    for _ in range(rng.integers(4, 9)):
        size = scene.pixel * rng.uniform(2.5, 4.8)
        du, dv = scene.uv[0] - x, scene.uv[1] - y
        distance = np.hypot(du * rng.uniform(0.8, 1.25), dv * rng.uniform(0.8, 1.25))
        pit = (1 - step(distance, size, 0.8 * size)) * scene.solid
        scene.height -= 0.9 * size * pit
        scene.tone(1 - rng.uniform(0.6, 0.85) * pit)
        found = np.maximum(found, pit)
        x, y = x + scene.pixel * rng.uniform(-12, 12), y + scene.pixel * rng.uniform(-12, 12)
    _rust(scene, found, rng)
    return found


def scratch(scene: Scene, rng: np.random.Generator) -> Plane:
    """A long shallow groove from handling, slightly bent, with fresh metal in it."""
    start, end = _ends(scene, rng, rng.uniform(0.7, 1.3))
    middle = (start + end) / 2 + rng.normal(0, 0.04, 2)
    t = np.linspace(0, 1, 24)[:, None]
    path = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    line = np.zeros_like(scene.solid)
    for _ in range(rng.integers(1, 4)):
        line = np.maximum(line, _stroke(scene, path + rng.normal(0, 0.04, 2), rng.uniform(1.0, 1.8)))
    scene.height -= 0.6 * scene.pixel * line
    scene.paint(rng.uniform(0.7, 0.95) * line, 0.85)
    return line


def crack(scene: Scene, rng: np.random.Generator) -> Plane:
    """A dark jagged line that wanders and may branch, as castings tear while they cool."""
    start, end = _ends(scene, rng, rng.uniform(0.7, 1.2))
    line = _stroke(scene, _jagged(start, end, rng), rng.uniform(1.6, 2.6))
    if rng.random() < 0.7:
        fork = (start + end) / 2
        branch = fork + 0.4 * (end - start) @ _rotation(rng.choice([-1, 1]) * rng.uniform(0.5, 0.9))
        line = np.maximum(line, _stroke(scene, _jagged(fork, branch, rng), 1.4))
    scene.height -= 0.8 * scene.pixel * line
    scene.tone(1 - rng.uniform(0.75, 0.92) * line)
    _rust(scene, line, rng)
    return line


def chip(scene: Scene, rng: np.random.Generator) -> Plane:
    """A piece broken out of the rim: a rough, paler bite with an uneven edge."""
    u, v = _place(scene, rng, 0.95, 1)
    size = scene.pixel * rng.uniform(8, 14)
    rough = noise(scene.solid.shape, 3 * OVERSAMPLING, rng)
    distance = np.hypot(scene.uv[0] - u, scene.uv[1] - v) + 0.15 * size * rough
    bite = (1 - step(distance, size, 2 * scene.pixel)) * scene.solid
    scene.height += bite * (scene.pixel * rough - rng.uniform(0.5, 0.8) * scene.height)
    scene.paint(bite * rng.uniform(0.6, 0.85), rng.uniform(0.7, 0.9))
    return bite


DEFECTS: Mapping[str, Draw] = {"blowhole": blowhole, "scratch": scratch, "crack": crack, "chip": chip}


def _rust(scene: Scene, found: Plane, rng: np.random.Generator) -> None:
    """Water stays in what is open: it rusts around."""
    halo = cv2.GaussianBlur(found, (0, 0), OVERSAMPLING * rng.uniform(2.0, 3.5))
    halo *= rng.uniform(0.7, 1.0) / (halo.max() + 1e-6)
    scene.paint(np.clip(halo - 0.4 * found, 0, 1) * scene.solid, RUST)


def _place(scene: Scene, rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """Choose a point of solid metal between two radii."""
    rows, columns = np.nonzero((scene.solid > 0.99) & (scene.radius > low) & (scene.radius < high))
    pick = rng.integers(len(rows))
    u, v = (float(plane[rows[pick], columns[pick]]) for plane in scene.uv)
    return u, v


def _ends(scene: Scene, rng: np.random.Generator, length: float) -> tuple[Points, Points]:
    centre, angle = np.array(_place(scene, rng, 0.3, 0.75)), rng.uniform(0, 2 * np.pi)
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    return centre - half, centre + half


def _jagged(start: Points, end: Points, rng: np.random.Generator) -> Points:
    """Displace the points between two ends by a bridge of random steps across them."""
    steps = rng.normal(0, 1, 14).cumsum()
    bridge = steps - np.linspace(steps[0], steps[-1], 14)
    across = (end - start) @ _rotation(np.pi / 2)
    return np.linspace(start, end, 14) + 0.045 * bridge[:, None] * across


def _rotation(angle: float) -> Points:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _stroke(scene: Scene, path: Points, width: float) -> Plane:
    """Draw a line that tapers at its ends; ``path`` is (K, 2) in radii, ``width`` in pixels of the photograph."""
    line = np.zeros(scene.solid.shape, np.uint8)
    points = np.round(scene.grid_points(path) * 2**SHIFT).astype(int).tolist()
    for index, (a, b) in enumerate(itertools.pairwise(points)):
        taper = np.sin(np.pi * (index + 1) / len(points))
        thick = max(1, round(OVERSAMPLING * width * (0.5 + 0.5 * taper)))
        cv2.line(line, a, b, 255, thick, cv2.LINE_AA, SHIFT)
    return np.asarray(line / np.float32(255), np.float32) * scene.solid
