"""When a scan passes, is looked at, or fails: one limit a metric, with its reason."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from imaging_platform.model.config import Section


class Limit(Section):
    """
    Where a metric becomes doubtful and where it becomes bad.

    Both bounds have the metric's unit. A missing bound is never reached.
    """

    worse: Literal["above", "below"] = Field(
        default="above", description="On which side of a bound a scan is worse."
    )
    look: float | None = Field(
        default=None, description="Beyond this a person looks at the scan."
    )
    fail: float | None = Field(
        default=None, description="Beyond this the scan fails, whoever looks."
    )
    reason: str = Field(default="", description="Why these bounds, for the report.")

    @model_validator(mode="after")
    def _fail_is_beyond_look(self) -> Limit:
        if self.look is not None and self.fail is not None:
            wrong = (
                self.fail < self.look
                if self.worse == "above"
                else (self.fail > self.look)
            )
            if wrong:
                raise ValueError(
                    f"fail ({self.fail:g}) must lie {self.worse} look ({self.look:g})"
                )
        return self


class CohortSettings(Section):
    """
    When a value stands out among the sessions of the study.

    Values of one metric and kind of scan are compared by robust z: the distance from
    the median in units of 1.4826 median absolute deviations.
    """

    sessions: int = Field(
        default=8,
        ge=4,
        description="Fewer sessions than this are not compared: their spread is "
        "not known.",
    )
    look_z: float = Field(
        default=3.5,
        gt=0,
        description="Beyond this robust z, on the metric's worse side, a person "
        "looks at the scan (Iglewicz and Hoaglin 1993).",
    )
    fail_z: float | None = Field(
        default=None, description="Beyond this robust z the scan fails; never if null."
    )
    metrics: tuple[str, ...] = Field(
        default=(
            "cjv",
            "cnr",
            "efc",
            "fber",
            "icv_ml",
            "inu_range",
            "qi_1",
            "qi_2",
            "snr_total",
            "aor",
            "aqi",
            "dvars_std",
            "fd_mean",
            "gcor",
            "gsr",
            "tsnr",
            "ndc_images",
            "sigma_piesno",
            "slice_dropout_percent",
            "fa_wm_median",
        ),
        description="Names of the metrics that are compared, as shell patterns; "
        "many more find an outlier in everybody.",
    )


def _above(look: float | None, fail: float | None, reason: str) -> Limit:
    return Limit(worse="above", look=look, fail=fail, reason=reason)


def _below(look: float | None, fail: float | None, reason: str) -> Limit:
    return Limit(worse="below", look=look, fail=fail, reason=reason)


class QualitySettings(Section):
    """
    Limits of the metrics that are judged; all other metrics are only reported.

    A study file may give a part of a limit (``fd_mean: {fail: 0.7}``); the rest
    stays as it is. Bounds of intensity metrics hold for common 1.5 T and 3 T
    protocols and should be set to a study's own scanner after its first sessions.
    """

    fd_mean: Limit = Field(
        default=_above(0.3, 0.5, "usual cut-offs for resting-state runs"),
        description="Mean framewise displacement, mm.",
    )
    fd_max: Limit = Field(
        default=_above(5.0, None, "a jump larger than a voxel and a half"),
        description="Greatest framewise displacement, mm.",
    )
    fd_perc: Limit = Field(
        default=_above(30.0, 60.0, "too few quiet volumes stay after scrubbing"),
        description="Volumes with more than 0.2 mm framewise displacement, percent.",
    )
    tsnr: Limit = Field(
        default=_below(40.0, 20.0, "signal changes of 1 percent drown in noise"),
        description="Median temporal SNR in the brain, unitless.",
    )
    gsr: Limit = Field(
        default=_above(0.1, None, "a ghost overlaps the brain"),
        description="Ghost to signal ratio along phase encoding, unitless.",
    )
    gcor: Limit = Field(
        default=_above(0.3, None, "motion or breathing dominates the series"),
        description="Global correlation, 0 to 1.",
    )
    aor: Limit = Field(
        default=_above(0.05, None, "volumes with many outliers"),
        description="Mean share of outlier voxels in a volume, 0 to 1.",
    )
    dummy_trs: Limit = Field(
        default=_above(3, None, "the signal starts before its steady state"),
        description="Leading volumes before the steady state, count.",
    )
    cjv: Limit = Field(
        default=_above(0.7, 1.0, "head motion or a strong bias field"),
        description="Coefficient of joint variation of grey and white matter.",
    )
    cnr: Limit = Field(
        default=_below(1.5, 0.7, "grey and white matter cannot be told apart"),
        description="Contrast of white and grey matter to noise, unitless.",
    )
    snr_total: Limit = Field(
        default=_below(5.0, 2.5, "noisy within one tissue"),
        description="Mean signal-to-noise ratio of the three tissues, unitless.",
    )
    icv_ml: Limit = Field(
        default=_below(900.0, 500.0, "the brain is cut or the mask is wrong"),
        description="Volume of the brain mask, ml; children need lower bounds.",
    )
    missing_metadata: Limit = Field(
        default=_above(0, None, "private elements may have been removed"),
        description="Sidecar keys missing that correction needs, count.",
    )
    n_directions: Limit = Field(
        default=_below(12, 6, "a tensor has six unknowns; 30 are robust (Jones 2004)"),
        description="Different diffusion directions, count.",
    )
    ndc_images: Limit = Field(
        default=_below(0.7, 0.4, "neighbouring directions disagree (Yeh 2019)"),
        description="Neighbouring DWI correlation, -1 to 1.",
    )
    slice_dropout_percent: Limit = Field(
        default=_above(1.0, 5.0, "motion during the gradients empties slices"),
        description="Slices of weighted volumes that lost signal, percent.",
    )
    volumes: Limit = Field(
        default=_below(None, 5, "a series needs volumes over time"),
        description="Volumes of a BOLD or DWI series, count.",
    )

    @model_validator(mode="before")
    @classmethod
    def _complete_limits(cls, values: Any) -> Any:  # what stood in the study file
        if not isinstance(values, dict):
            return values
        completed = dict(values)
        for name, given in values.items():
            field = cls.model_fields.get(name)
            if field is not None and isinstance(given, dict):
                completed[name] = {**field.default.model_dump(), **given}
        return completed
