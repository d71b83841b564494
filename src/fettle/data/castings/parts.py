"""The parts: turned discs and pump impellers, as relief."""

from collections.abc import Callable, Mapping

import numpy as np

from fettle.data.castings.scene import Plane, Scene, step

SOFT = 0.05  # edges of a casting are rounded


def disc(scene: Scene, rng: np.random.Generator) -> None:
    """A flat disc with a rim, perhaps grooves, a hub and bolt holes."""
    _plate(scene, rng)
    radius = scene.radius
    for _ in range(rng.integers(0, 3)):
        groove = np.abs(radius - rng.uniform(0.4, 0.85))
        scene.height -= rng.uniform(0.01, 0.03) * (1 - step(groove, rng.uniform(0.02, 0.04), SOFT))
    _hub(scene, rng)
    if rng.random() < 0.3:
        _bolt_holes(scene, rng)


def impeller(scene: Scene, rng: np.random.Generator) -> None:
    """A pump impeller: curved vanes between hub and rim, log spirals as on the drawing board."""
    _plate(scene, rng)
    count, curve = rng.integers(5, 9), rng.choice([-1, 1]) * rng.uniform(0.6, 1.3)
    inner, outer = rng.uniform(0.3, 0.4), rng.uniform(0.82, 0.93)
    radius = np.maximum(scene.radius, 1e-3)
    turn = (scene.angle - curve * np.log(radius)) * count / (2 * np.pi)
    across = (turn - np.round(turn)) * 2 * np.pi / count * radius / np.hypot(1, curve)
    vane = 1 - step(np.abs(across), rng.uniform(0.025, 0.05), SOFT)
    vane *= step(radius, inner, SOFT) * (1 - step(radius, outer, SOFT))
    scene.height += rng.uniform(0.03, 0.06) * vane
    _hub(scene, rng)


PARTS: Mapping[str, Callable[[Scene, np.random.Generator], None]] = {"disc": disc, "impeller": impeller}


def _plate(scene: Scene, rng: np.random.Generator) -> None:
    radius = scene.radius
    scene.solid[:] = 1 - step(radius, 1, scene.pixel)
    scene.height += rng.uniform(0.12, 0.2) * (1 - step(radius, 0.985, 0.05))
    rim = step(radius, rng.uniform(0.78, 0.92), SOFT) * (1 - step(radius, 0.98, SOFT))
    scene.height += rng.uniform(-0.02, 0.04) * rim


def _hub(scene: Scene, rng: np.random.Generator) -> None:
    boss, bore = rng.uniform(0.2, 0.33), rng.uniform(0.07, 0.15)
    scene.height += rng.uniform(0.03, 0.07) * (1 - step(scene.radius, boss, SOFT))
    _drill(scene, scene.radius, bore)
    if rng.random() < 0.5:  # keyway
        u, v = scene.uv
        slot = np.maximum(np.abs(v) - 0.3 * bore, np.abs(u - bore) - 0.35 * bore)
        _drill(scene, slot, 0)


def _bolt_holes(scene: Scene, rng: np.random.Generator) -> None:
    count, circle, size = rng.integers(3, 7), rng.uniform(0.5, 0.7), rng.uniform(0.06, 0.08)
    sector = 2 * np.pi / count
    angle = scene.angle + rng.uniform(0, sector)
    angle = (angle / sector - np.round(angle / sector)) * sector
    distance = np.hypot(scene.radius * np.cos(angle) - circle, scene.radius * np.sin(angle))
    scene.height -= 0.02 * (1 - step(distance, 1.7 * size, SOFT))  # counterbore
    _drill(scene, distance, size)


def _drill(scene: Scene, distance: Plane, size: float) -> None:
    """Cut a hole through the part where ``distance`` is below ``size``."""
    keep = step(distance, size, 1.5 * scene.pixel)
    scene.height *= keep
    scene.solid *= keep
