"""Small images with every part known, made from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def make_head(shape: tuple[int, int, int] = (48, 52, 44), seed: int = 1) -> Arrays:
    """Return a head of nested balls with soft edges, bias, noise, artefact, masks."""
    random = np.random.default_rng(seed)
    x, y, z = _grid(shape)
    radius = np.sqrt(x**2 + y**2 + z**2) + 0.02 * np.sin(9 * x) * np.cos(7 * y)
    inner, middle, outer = (_soft(radius, edge) for edge in (0.42, 0.55, 0.62))
    brain = radius < 0.62
    wm, gm, csf = (
        np.where(brain, each, 0.0) for each in (inner, middle - inner, outer - middle)
    )
    head = radius < 0.78
    bias = 1 + 0.15 * x + 0.1 * z
    signal = 1000 * wm + 650 * gm + 300 * csf + 400 * (head & ~brain)
    noise = random.normal(0, 25, (2, *shape))
    raw = np.hypot(signal * bias + noise[0], noise[1])
    artifacts = np.zeros(shape, dtype=bool)
    artifacts[2:7, 5:10, -8:-3] = True
    raw[artifacts] += 400
    rotation = np.zeros(shape, dtype=bool)
    rotation[:3, :3] = True
    raw[rotation] = 0
    hat = ~head & (z > -0.2)
    template = {name: np.roll(each, 1, 0) for name, each in _named(csf, gm, wm).items()}
    return {
        "raw": raw,
        "corrected": raw / bias,
        **_named(csf, gm, wm),
        **{f"template_{name}": each for name, each in template.items()},
        "brain": brain,
        "head": head,
        "air": hat & ~artifacts,
        "artifacts": artifacts & hat,
        "rotation": rotation,
        "bias": bias,
    }


def make_bold(
    shape: tuple[int, int, int, int] = (30, 32, 14, 50), seed: int = 2
) -> Arrays:
    """Return a run with an N/2 ghost, a shared wave, noise and two dummy volumes."""
    random = np.random.default_rng(seed)
    x, y, z = _grid(shape[:3])
    mask = x**2 + y**2 / 0.5 + z**2 < 0.5
    base = np.where(mask, 1000 + 150 * np.sin(3 * x) * np.cos(2 * z), 30.0)
    base[np.roll(mask, shape[1] // 2, axis=1) & ~mask] += 40
    wave = 1 + 0.01 * np.sin(np.arange(shape[3]) / 5)
    series = base[..., None] * wave + random.normal(0, 15, shape)
    series[..., :2] *= 1.2
    fd = np.abs(random.normal(0.15, 0.1, shape[3] - 1))
    return {"series": np.abs(series).round(), "mask": mask, "fd": fd}


def make_dwi(shape: tuple[int, int, int] = (26, 28, 18), seed: int = 3) -> Arrays:
    """Return two shells with noise of four coils, a spike, and strange FA voxels."""
    random = np.random.default_rng(seed)
    x, y, z = _grid(shape)
    radius = np.sqrt(x**2 + y**2 + z**2)
    brain = np.where(radius < 0.75, np.clip(_soft(radius, 0.7), 0, 1), 0)
    brain[brain > 0.99] = 1
    wm = radius < 0.4
    callosum = (np.abs(x) < 0.3) & (np.abs(y) < 0.2) & (np.abs(z) < 0.2)
    axes = random.normal(size=(12, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    b = np.concatenate([[0, 5, 0], np.full(12, 1000.0), np.full(12, 2000.0)])
    b[3:] += random.integers(-20, 20, 24)
    vectors = np.concatenate([np.zeros((3, 3)), axes, axes])
    decay = np.where(wm, 0.0016, 0.0008)[..., None] * (0.3 + 0.7 * vectors[:, 0] ** 2)
    clean = 400 * brain[..., None] * np.exp(-b * decay)
    noise = random.normal(0, 15, (4, 2, *clean.shape))
    power = ((clean + noise[:, 0]) ** 2 + noise[:, 1] ** 2).sum(axis=0)
    series = np.sqrt(power).round()
    series[3, 4, 5, 6] = 9000
    series[:, 10, 5, 7] *= 5
    fa = np.clip(random.normal(0.3, 0.2, shape), -0.1, 1.2)
    fa[random.random(shape) < 0.002] = np.nan
    return {
        "series": series,
        "b": b,
        "vectors": vectors,
        "brain": brain,
        "wm": wm,
        "callosum": callosum,
        "fa": fa,
        "fd": np.abs(random.normal(0.15, 0.1, 26)),
        "turns": np.abs(random.normal(0, 0.01, 27)) * (b > 50),
    }


def _grid(shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    return list(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))


def _soft(radius: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    return 1 / (1 + np.exp((radius - edge) / 0.02))


def _named(csf: Any, gm: Any, wm: Any) -> Arrays:  # three maps of one shape
    return {"csf": csf, "gm": gm, "wm": wm}
