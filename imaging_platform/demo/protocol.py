"""What is scanned: the series of each vendor, their geometry, timing and truth."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_platform.demo.geometry import Grid, coronal, sagittal, tilted_axial


@dataclass(frozen=True)
class Acquisition:
    """
    One series as the operator sees it.

    Parameters
    ----------
    number
        SeriesNumber.
    kind
        ``localizer``, ``t1w``, ``bold``, ``dwi``, ``magnitude`` (two echoes),
        ``phasediff``, ``spin_echo`` or ``b0_map`` (magnitude and field in Hz).
    description
        SeriesDescription and ProtocolName.
    grids
        One grid, or three for a localizer.
    tr_ms, te_ms, flip_deg, inversion_ms
        Repetition, echo and inversion times in ms, flip angle in degrees; 0 where
        there is none. `second_te_ms` is the later echo of a field map.
    n_volumes
        Volumes in time or over gradients; 1 for a single volume.
    polarity
        1 for phase encoding front to back (BIDS ``j-``), -1 for back to front.
    readout_s
        Total readout time in seconds; 0 unless echo planar.
    """

    number: int
    kind: str
    description: str
    grids: tuple[Grid, ...]
    tr_ms: float
    te_ms: float
    flip_deg: float
    n_volumes: int = 1
    inversion_ms: float = 0.0
    second_te_ms: float = 0.0
    polarity: int = 1
    readout_s: float = 0.0

    @property
    def grid(self) -> Grid:
        """The only grid, or the first."""
        return self.grids[0]

    @property
    def duration_s(self) -> float:
        """How long the scanner is busy, in seconds."""
        if self.kind in {"bold", "dwi", "spin_echo"}:
            return self.n_volumes * self.tr_ms / 1000 + 6
        return 150.0 if self.kind == "t1w" else 25.0


@dataclass(frozen=True)
class Size:
    """
    How much is scanned.

    Parameters
    ----------
    t1w_mm
        Voxel size of the T1w of the Siemens scanner, mm.
    mosaic, stack
        Columns, slices, slice distance (mm), volumes of the resting run: as
        mosaics, and as single slices.
    long_run
        Volumes of the resting run on the GE scanner.
    n_directions
        Diffusion directions.
    """

    t1w_mm: float
    mosaic: tuple[int, int, float, int]
    stack: tuple[int, int, float, int]
    long_run: int
    n_directions: int


FULL = Size(1.0, (64, 32, 4.0, 80), (64, 20, 6.5, 26), 40, 12)
SMALL = Size(2.0, (32, 16, 8.0, 20), (32, 10, 13.0, 20), 20, 6)

FIELD_OF_VIEW_MM = 224.0


def protocol(vendor: str, size: Size) -> tuple[Acquisition, ...]:
    """Return the series of a session in the order in which they are scanned."""
    return {"Siemens": _siemens, "GE": _ge, "Philips": _philips}[vendor](size)


def _localizer(number: int, description: str) -> Acquisition:
    shape, spacing = (128, 128, 1), (2.1, 2.1, 8.0)
    grids = (
        sagittal(shape, spacing, (0.0, 0.0, 0.0)),
        coronal(shape, spacing, (0.0, 0.0, 0.0)),
        tilted_axial(shape, spacing),
    )
    return Acquisition(number, "localizer", description, grids, 8.6, 4.0, 20.0)


def _sagittal_t1w(in_plane_mm: float, slice_mm: float) -> Grid:
    in_plane = round(256 / in_plane_mm)
    slices = 2 * round(88 / slice_mm)
    spacing = (in_plane_mm, in_plane_mm, slice_mm)
    # A little to the right for the capsule, a little down for the chin.
    return sagittal((in_plane, in_plane, slices), spacing, (-1.5, -4.0, -22.0))


def _echo_planar_grid(parameters: tuple[int, int, float, int], tilt_deg: float) -> Grid:
    columns, slices, distance_mm, _ = parameters
    in_plane_mm = FIELD_OF_VIEW_MM / columns
    spacing = (in_plane_mm, in_plane_mm, distance_mm)
    return tilted_axial((columns, columns, slices), spacing, tilt_deg=tilt_deg)


def _readout_s(columns: int) -> float:
    """0.53 ms a line: 33 ms for 64 lines."""
    return 0.00053 * (columns - 1)


def _siemens(size: Size) -> tuple[Acquisition, ...]:
    epi = _echo_planar_grid(size.mosaic, 8.0)
    readout_s = _readout_s(epi.shape[1])
    volumes = size.mosaic[3]
    t1w = (_sagittal_t1w(size.t1w_mm, size.t1w_mm),)
    return (
        _localizer(1, "localizer"),
        Acquisition(
            2, "t1w", "t1_mprage_sag_p2_iso", t1w, 2300, 2.98, 9, inversion_ms=900
        ),
        Acquisition(
            3,
            "bold",
            "ep2d_bold_rest",
            (epi,),
            2000,
            30,
            78,
            volumes,
            readout_s=readout_s,
        ),
        Acquisition(
            4,
            "magnitude",
            "gre_field_mapping",
            (epi,),
            488,
            4.92,
            60,
            second_te_ms=7.38,
        ),
        Acquisition(
            5,
            "phasediff",
            "gre_field_mapping",
            (epi,),
            488,
            4.92,
            60,
            second_te_ms=7.38,
        ),
        Acquisition(
            6,
            "dwi",
            f"ep2d_diff_{size.n_directions}dir_AP",
            (epi,),
            4100,
            86,
            90,
            size.n_directions + 2,
            readout_s=readout_s,
        ),
    )


def _ge(size: Size) -> tuple[Acquisition, ...]:
    epi = _echo_planar_grid(size.stack, 0.0)
    readout_s = _readout_s(epi.shape[1])
    in_plane = 256 if size.t1w_mm == 1 else 128
    slice_mm = 1.2 * size.t1w_mm
    slices = round(2 * 96 / slice_mm)
    t1w = Grid(
        (in_plane, in_plane, slices),
        (256 / in_plane, 256 / in_plane, slice_mm),
        (-1.5, -4.0, -8.0),
    )
    pair = [
        Acquisition(
            number,
            "spin_echo",
            f"SE-EPI fmap {name}",
            (epi,),
            6500,
            66,
            90,
            polarity=polarity,
            readout_s=readout_s,
        )
        for number, name, polarity in ((4, "AP", 1), (5, "PA", -1))
    ]
    return (
        _localizer(1, "3Plane Loc"),
        Acquisition(
            2, "t1w", "Ax FSPGR BRAVO T1", (t1w,), 7.2, 2.8, 12, inversion_ms=450
        ),
        Acquisition(
            3,
            "bold",
            "fMRI resting state",
            (epi,),
            2000,
            30,
            77,
            size.long_run,
            readout_s=readout_s,
        ),
        *pair,
        Acquisition(
            6,
            "dwi",
            f"DTI {size.n_directions} dir b1000",
            (epi,),
            6500,
            82,
            90,
            size.n_directions + 2,
            readout_s=readout_s,
        ),
    )


def _philips(size: Size) -> tuple[Acquisition, ...]:
    epi = _echo_planar_grid(size.stack, 0.0)
    readout_s = _readout_s(epi.shape[1])
    t1w = (_sagittal_t1w(size.t1w_mm, 1.25 * size.t1w_mm),)
    return (
        _localizer(101, "Survey"),
        Acquisition(
            201, "t1w", "T1W_3D_TFE SENSE", t1w, 8.1, 3.7, 8, inversion_ms=1000
        ),
        Acquisition(
            301,
            "bold",
            "FE_EPI_rest SENSE",
            (epi,),
            2000,
            30,
            76,
            size.stack[3],
            readout_s=readout_s,
        ),
        Acquisition(401, "b0_map", "B0_map", (epi,), 650, 4.6, 60, second_te_ms=6.9),
        Acquisition(
            501,
            "dwi",
            f"DTI_{size.n_directions}dir_b1000",
            (epi,),
            7200,
            84,
            90,
            size.n_directions + 2,
            readout_s=readout_s,
        ),
    )
