"""Surfaces: material, casting skin, machining marks, and dirt that is no defect."""

import cv2
import numpy as np

from fettle.data.castings.scene import OVERSAMPLING, Plane, Scene, noise, step

METALS = ((0.28, 0.28, 0.29), (0.37, 0.38, 0.40), (0.33, 0.33, 0.33), (0.30, 0.33, 0.31), (0.28, 0.31, 0.34))
TABLES = ((0.07, 0.07, 0.08), (0.13, 0.13, 0.14), (0.08, 0.11, 0.15), (0.09, 0.13, 0.12))


def material(scene: Scene, rng: np.random.Generator) -> None:
    """Choose the metal and the table, and give both their texture."""
    table, metal = (np.array(colours[rng.integers(len(colours))]) for colours in (TABLES, METALS))
    scene.paint(np.ones_like(scene.solid), table * rng.uniform(0.7, 1.2))
    scene.paint(scene.solid, metal * rng.uniform(0.85, 1.15))
    skin = noise(scene.solid.shape, OVERSAMPLING * rng.uniform(0.8, 2.0), rng)
    scene.height += scene.pixel * rng.uniform(0.015, 0.04) * skin
    scene.tone(1 + rng.uniform(0.02, 0.05) * skin)
    scene.tone(1 + rng.uniform(0.02, 0.05) * noise(scene.solid.shape, scene.solid.shape[0] / 5, rng))


def machining(scene: Scene, rng: np.random.Generator) -> None:
    """Lathe marks run round the axis, milling marks straight; some parts stay as cast."""
    kind = rng.choice(["lathe", "mill", "cast"], p=[0.5, 0.25, 0.25])
    if kind == "cast":
        return
    along = scene.radius if kind == "lathe" else scene.uv[0]
    profile = cv2.GaussianBlur(rng.standard_normal((1, 1024), dtype=np.float32), (0, 0), rng.uniform(0.8, 2.5))[0]
    position = (along + 2) / (1.5 * scene.pixel)
    marks = np.interp(position, np.arange(1024), profile / profile.std()).astype(np.float32)
    face = scene.solid * step(scene.radius, rng.uniform(0, 0.3), 0.05)
    scene.height += scene.pixel * rng.uniform(0.06, 0.16) * marks * face
    scene.tone(1 + rng.uniform(0.0, 0.06) * marks * face)


def dirt(scene: Scene, rng: np.random.Generator) -> None:
    """Dust and stains: colour without relief, on good and bad parts alike."""
    for _ in range(rng.integers(0, 3)):
        scene.tone(1 + rng.uniform(-0.18, 0.1) * _blot(scene, rng.uniform(0.08, 0.35), rng))
    dust = np.zeros_like(scene.solid)
    for _ in range(rng.integers(0, 8)):
        _speck(dust, rng)
    scene.paint(dust * rng.uniform(0.3, 0.8), rng.choice([0.75, 0.08], p=[0.7, 0.3]))


def _blot(scene: Scene, size: float, rng: np.random.Generator) -> Plane:
    u, v = rng.uniform(-0.8, 0.8, 2)
    edge = np.hypot(scene.uv[0] - u, scene.uv[1] - v) + 0.25 * size * noise(scene.solid.shape, 40, rng)
    return scene.solid * (1 - step(edge, size, size * rng.uniform(0.2, 0.9)))


def _speck(dust: Plane, rng: np.random.Generator) -> None:
    x, y = rng.uniform(0, dust.shape[0], 2)
    axes = OVERSAMPLING * rng.uniform(0.4, 1.1, 2)
    cv2.ellipse(dust, ((x, y), tuple(2 * axes), rng.uniform(0, 180)), 1.0, -1)
