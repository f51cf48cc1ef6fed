"""One visit from head to files: draw the person, scan each series, write it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.demo import ge, philips, siemens
from imaging_platform.demo.anatomy import (
    HeadModel,
    Person,
    build_head,
    draw_person,
    reposition,
)
from imaging_platform.demo.bold import bold_volumes, spin_echo_volume
from imaging_platform.demo.diffusion import diffusion_volumes, gradient_table
from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.identities import VISITS, Visit
from imaging_platform.demo.images import (
    SIGNAL_SCALE,
    Pixels,
    Tissue,
    add_noise,
    as_pixels,
    gradient_echo,
    off_resonance_hz,
    sample_tissue,
    t1_weighted,
)
from imaging_platform.demo.instances import SeriesContext
from imaging_platform.demo.motion import draw_motion
from imaging_platform.demo.protocol import FULL, SMALL, Acquisition, protocol

T1W_NOISE = {"good": 0.018, "motion": 0.022, "low_snr": 0.065}
"""Noise of a T1w channel over the signal of white matter."""

T1W_GHOST = {"good": 0.0, "motion": 0.18, "low_snr": 0.0}


def visit_named(name: str) -> Visit:
    """Return the visit of that short name."""
    return next(visit for visit in VISITS if visit.name == name)


def acquisitions_of(visit: Visit, *, small: bool) -> tuple[Acquisition, ...]:
    """Return the visit's series in the order of acquisition."""
    return protocol(visit.scanner.vendor, SMALL if small else FULL)


def random_of(seed: int, *parts: object) -> np.random.Generator:
    """Return a generator that depends on the seed and the names alone."""
    text = "/".join(map(str, (seed, *parts)))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def person_of(visit: Visit, *, seed: int) -> Person:
    """Return the head of the visit's patient as it lay in the scanner that day."""
    person = draw_person(random_of(seed, visit.patient.patient_id))
    if visit.order > 1:
        person = reposition(person, random_of(seed, visit.name, "position"))
    return person


def motion_of(visit: Visit, *, small: bool, seed: int) -> NDArray[np.float64]:
    """Return the planted motion of the visit's resting run, shape (volumes, 6)."""
    run = next(a for a in acquisitions_of(visit, small=small) if a.kind == "bold")
    return draw_motion(
        run.n_volumes, visit.quality, random_of(seed, visit.name, "motion")
    )


def write_sessions(
    orders: list[dict[str, str]], *, small: bool, seed: int
) -> dict[str, list[int]]:
    """
    Write all series of some visits; plain values in and out, for another process.

    Parameters
    ----------
    orders
        One a visit: ``name`` of the visit, ``target`` folder that receives the
        files, ``late`` folder for the series of ``kinds_late`` (comma separated)
        that arrive in another drop; both empty when there is none.

    Returns
    -------
    dict
        ``files``: how many were written for each visit.
    """
    return {"files": [_write_session(order, small, seed) for order in orders]}


def _write_session(order: dict[str, str], small: bool, seed: int) -> int:
    visit = visit_named(order["name"])
    scanner = ScannedHead(visit, small=small, seed=seed)
    kinds_late = order["kinds_late"].split(",")
    start_s, first_file = visit.start_s + 40, 1
    for acquisition in acquisitions_of(visit, small=small):
        context = SeriesContext(
            visit, acquisition, start_s, _references(visit, acquisition)
        )
        late = acquisition.kind in kinds_late
        folder = Path(order["late"] if late else order["target"])
        first_file += scanner.scan(folder, context, first_file)
        start_s += acquisition.duration_s + 12
    return first_file - 1


def _references(visit: Visit, acquisition: Acquisition) -> tuple[str, ...]:
    """The three localizer planes, for each series but the localizer."""
    if acquisition.kind == "localizer":
        return ()
    localizer = protocol(visit.scanner.vendor, SMALL)[0].number
    return tuple(visit.uid("instance", localizer, plane) for plane in (1, 2, 3))


class ScannedHead:
    """A head in a scanner, ready for one series after the other."""

    def __init__(self, visit: Visit, *, small: bool, seed: int) -> None:
        self.visit = visit
        self.seed = seed
        self.person = person_of(visit, seed=seed)
        self.motion = motion_of(visit, small=small, seed=seed)
        self.model: HeadModel = build_head(2 if small else 1)
        self.tissue: Tissue = sample_tissue(self.model, self.person)

    def scan(self, folder: Path, context: SeriesContext, first_file: int) -> int:
        """Write a series into `folder`; return the number of its files."""
        acquisition = context.acquisition
        table = (
            gradient_table(acquisition.n_volumes - 2)
            if acquisition.kind == "dwi"
            else (None, None)
        )
        stacks = self.stacks(acquisition)
        vendor = self.visit.scanner.vendor
        if vendor == "Siemens" and acquisition.readout_s:
            volumes = (volume for _, volume in stacks)
            siemens.write_mosaics(
                folder, context, volumes, bvalues=table[0], directions_ras=table[1]
            )
            return acquisition.n_volumes
        write = {
            "Siemens": siemens.write_slices,
            "GE": partial(ge.write_stacks, bvalues=table[0], directions_ras=table[1]),
            "Philips": partial(
                philips.write_stacks,
                first_file=first_file,
                bvalues=table[0],
                directions_ras=table[1],
            ),
        }[vendor]
        counted = list(stacks)
        write(folder, context, counted)
        return sum(grid.shape[2] for grid, _ in counted)

    def stacks(self, acquisition: Acquisition) -> Iterator[tuple[Grid, Pixels]]:
        """Yield each stack of slices of a series with its grid."""
        random = random_of(self.seed, self.visit.name, acquisition.number)
        make = {
            "localizer": self._localizer,
            "t1w": self._t1w,
            "bold": self._bold,
            "dwi": self._dwi,
            "spin_echo": self._spin_echo,
            "magnitude": self._field_map,
            "phasediff": self._field_map,
            "b0_map": self._field_map,
        }[acquisition.kind]
        return make(acquisition, random)

    def _t1w(
        self, acquisition: Acquisition, random: np.random.Generator
    ) -> Iterator[tuple[Grid, Pixels]]:
        volume = t1_weighted(
            self.model,
            self.person,
            acquisition.grid,
            noise=T1W_NOISE[self.visit.quality],
            ghost=T1W_GHOST[self.visit.quality],
            random=random,
        )
        yield acquisition.grid, volume

    def _bold(
        self, acquisition: Acquisition, random: np.random.Generator
    ) -> Iterator[tuple[Grid, Pixels]]:
        for volume in bold_volumes(
            self.tissue,
            self.person,
            acquisition.grid,
            motion=self.motion,
            quality=self.visit.quality,
            tr_s=acquisition.tr_ms / 1000,
            readout_s=acquisition.readout_s,
            random=random,
        ):
            yield acquisition.grid, volume

    def _dwi(
        self, acquisition: Acquisition, random: np.random.Generator
    ) -> Iterator[tuple[Grid, Pixels]]:
        bvalues, directions = gradient_table(acquisition.n_volumes - 2)
        for volume in diffusion_volumes(
            self.tissue,
            self.person,
            acquisition.grid,
            bvalues=bvalues,
            directions=directions,
            quality=self.visit.quality,
            readout_s=acquisition.readout_s,
            random=random,
        ):
            yield acquisition.grid, volume

    def _spin_echo(
        self, acquisition: Acquisition, random: np.random.Generator
    ) -> Iterator[tuple[Grid, Pixels]]:
        volume = spin_echo_volume(
            self.tissue,
            self.person,
            acquisition.grid,
            quality=self.visit.quality,
            readout_s=acquisition.readout_s,
            polarity=acquisition.polarity,
            random=random,
        )
        yield acquisition.grid, volume

    def _localizer(
        self, acquisition: Acquisition, random: np.random.Generator
    ) -> Iterator[tuple[Grid, Pixels]]:
        for grid in acquisition.grids:
            signal = gradient_echo(self.tissue, self.person, grid, te_ms=4.0)
            yield grid, as_pixels(add_noise(signal, 25.0, random))

    def _field_map(
        self, acquisition: Acquisition, random: np.random.Generator
    ) -> Iterator[tuple[Grid, Pixels]]:
        grid, kind = acquisition.grid, acquisition.kind
        if kind in {"magnitude", "b0_map"}:
            echoes = (acquisition.te_ms, acquisition.second_te_ms)
            for te_ms in echoes if kind == "magnitude" else echoes[:1]:
                signal = gradient_echo(self.tissue, self.person, grid, te_ms=te_ms)
                yield grid, as_pixels(add_noise(signal, 12.0, random))
        if kind == "magnitude":
            return
        field_hz = self._noisy_field_hz(grid, random)
        if kind == "b0_map":
            steps = (field_hz - philips.MAP_OFFSET_HZ) / philips.MAP_HZ_PER_STEP
            yield grid, as_pixels(steps)
        else:
            delta_s = (acquisition.second_te_ms - acquisition.te_ms) / 1000
            turns = field_hz * delta_s
            # 4096 steps are one turn, 2048 is no phase (RescaleSlope 2, -4096).
            wrapped = np.mod(turns + 0.5, 1.0)
            yield grid, as_pixels(wrapped * 4095)

    def _noisy_field_hz(
        self, grid: Grid, random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Off-resonance with phase noise that grows where there is no signal."""
        points = grid.points_ras()
        field = self.tissue.at(off_resonance_hz(self.tissue), points)
        signal = gradient_echo(self.tissue, self.person, grid, te_ms=7.0) / SIGNAL_SCALE
        spread = np.minimum(2.0 / np.maximum(signal, 1e-3), 120.0)
        noise = random.standard_normal(grid.shape, dtype=np.float32)
        return np.clip(field + noise * spread, -500, 500).astype(np.float32)
