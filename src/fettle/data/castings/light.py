"""Light and camera: a photograph of the relief under an oblique lamp."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fettle.data.castings.scene import OVERSAMPLING, Plane, Scene

UP = np.array([0, 0, 1], np.float32)


def photograph(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return (size, size, 3) uint8 RGB: lit, seen through a lens, sampled by a sensor."""
    return expose(shade(scene, rng), scene.size, rng)


def shade(scene: Scene, rng: np.random.Generator) -> Plane:
    """Lambert's cosine law, the highlight of Blinn (1977), cast shadows and occlusion in corners; linear light."""
    lamp = _lamp(rng)
    normals = _normals(scene)
    facing = np.clip(normals @ lamp, 0, None)
    half = (lamp + UP) / np.linalg.norm(lamp + UP)
    shine = np.clip(normals @ half, 0, 1) ** rng.uniform(8, 50) * rng.uniform(0.03, 0.22) * scene.solid
    lit = 1 - rng.uniform(0.5, 0.9) * _shadow(scene, lamp)
    ambient = rng.uniform(0.12, 0.3) * _openness(scene)
    light = (ambient + rng.uniform(0.8, 1.2) * facing * lit)[..., None] * scene.albedo
    return np.asarray(light + (shine * lit)[..., None], np.float32)


def expose(light: Plane, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Focus, vignetting, white balance, exposure, shot and read noise, and the sRGB curve."""
    focused = cv2.GaussianBlur(light, (0, 0), OVERSAMPLING * rng.uniform(0.25, 0.55))
    light = np.asarray(cv2.resize(focused, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    light *= (1 - rng.uniform(0.05, 0.25) * (x * x + y * y))[..., None]
    light *= rng.uniform(0.85, 1.15) * rng.uniform(0.97, 1.03, 3)
    grain = np.sqrt(np.clip(light, 0, None) * rng.uniform(0.0001, 0.0008) + rng.uniform(0.002, 0.008) ** 2)
    light += grain * rng.standard_normal(light.shape, dtype=np.float32)
    return np.asarray(255 * np.clip(light, 0, 1) ** (1 / 2.2) + 0.5, np.uint8)


def _lamp(rng: np.random.Generator) -> Plane:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(38, 65))
    across = np.cos(elevation)
    return np.array([across * np.cos(azimuth), across * np.sin(azimuth), np.sin(elevation)], np.float32)


def _normals(scene: Scene) -> Plane:
    """Unit normals (P, P, 3) from the slopes of the relief."""
    spacing = scene.pixel / OVERSAMPLING
    slopes = [cv2.Sobel(scene.height, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / (8 * spacing)) for dx in (1, 0)]
    normals = np.dstack([-slopes[0], -slopes[1], np.ones_like(scene.height)])
    return np.asarray(normals / np.linalg.norm(normals, axis=2, keepdims=True), np.float32)


def _shadow(scene: Scene, lamp: Plane, steps: int = 8) -> Plane:
    """Walk from each point towards the lamp: where the relief rises above the ray, there is shade."""
    spacing = scene.pixel / OVERSAMPLING
    across = float(np.hypot(lamp[0], lamp[1]))
    reach = 0.25 * across / float(lamp[2])
    blocked = np.zeros_like(scene.height)
    for distance in np.linspace(reach / steps, reach, steps):
        dx, dy = lamp[:2] / across * distance / spacing
        towards = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        there = cv2.warpAffine(
            scene.height, towards, scene.height.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        over = there - scene.height - distance * lamp[2] / across
        blocked = np.maximum(blocked, np.clip(over / (2 * scene.pixel), 0, 1))
    return np.asarray(cv2.GaussianBlur(blocked, (0, 0), OVERSAMPLING * 0.5), np.float32)


def _openness(scene: Scene) -> Plane:
    """How much of the sky a point sees, after Miller's (1994) local height above its surroundings."""
    around = cv2.GaussianBlur(scene.height, (0, 0), 3 * OVERSAMPLING)
    return np.asarray(np.clip(1 + 5 * (scene.height - around), 0.3, 1.3), np.float32)
