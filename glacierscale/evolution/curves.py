"""Curves of elevation change against height: of size classes, and of single glaciers from two dated elevation models.

Heights are normalised, 0 at the top of a glacier and 1 at its terminus; thinning is normalised, 0 where it is least and
1 where it is greatest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

POINTS = 101
"""Heights of a curve, in equal steps from the top to the terminus."""

HEIGHTS = np.linspace(0, 1, POINTS)
"""Where these are."""

CLASS_AREA_KM2 = (5.0, 20.0)
"""Glaciers below the first are small, from the second on large (Huss et al. 2010)."""

_CLASSES = np.array([[-0.30, 0.60, 0.09, 2], [-0.05, 0.19, 0.01, 4], [-0.02, 0.12, 0.00, 6]])
"""a, b, c and exponent of small, medium and large glaciers: Huss et al. 2010, eq. 4."""

PLAUSIBLE_M_PER_YEAR = (-6.0, 1.0)
"""Elevation change beyond which a survey is believed to have failed: tongues of the Alps lose up to 5 m a year."""

LEAST_CELLS = 50
"""Fewer good cells do not make a curve."""

_BANDS = 50  # of equal height, each of the same weight: a curve runs over heights, not over areas
_KNOTS = 10  # where the slope of a curve may grow
_END = 0.25  # share of the height range that is the head, or the tongue
_FENCE = 3.0  # interquartile ranges beyond the quartiles where elevations are errors (Tukey's outer fence)
_ROUNDS = 15  # of reweighting to least absolute deviations; more change nothing
_EVEN_M = 1.0  # smaller deviations are not told apart

GRID_TOLERANCE = 0.01
"""Share of a cell by which two grids may be apart and still be the same."""


def class_curves(area_m2: npt.ArrayLike) -> Floats:
    """Curves of the size classes of Huss et al. (2010).

    Parameters
    ----------
    area_m2 : (glacier,) m2

    Returns
    -------
    numpy.ndarray
        (glacier, POINTS), float64: normalised thinning, greatest 1, never negative.

    Raises
    ------
    ValueError
        If an area is negative or no number.
    """
    area_km2 = np.atleast_1d(np.asarray(area_m2, float)) / 1e6
    if not (area_km2 >= 0).all():  # also false for NaN
        bad = area_km2[~(area_km2 >= 0)]
        raise ValueError(f"{len(bad)} of {len(area_km2)} areas are negative or no number; expected m2, 0 or more.")
    shift, linear, constant, power = _CLASSES[np.searchsorted(CLASS_AREA_KM2, area_km2, side="right")].T[..., None]
    thinning = (HEIGHTS + shift) ** power + linear * (HEIGHTS + shift) + constant
    curve: Floats = np.clip(thinning / thinning.max(axis=1, keepdims=True), 0, None)
    return curve


def check_grids(
    dh_x: npt.ArrayLike, dh_y: npt.ArrayLike, elevation_x: npt.ArrayLike, elevation_y: npt.ArrayLike
) -> None:
    """Refuse rasters whose cells do not lie on one another.

    Parameters
    ----------
    dh_x, dh_y : (x,) and (y,)
        Centres of the cells of the elevation change, in any unit.
    elevation_x, elevation_y : (x,) and (y,)
        Those of the elevation, in the same unit.

    Raises
    ------
    ValueError
        If the sizes differ, or the centres by more than `GRID_TOLERANCE` of a cell.
    """
    for axis, first, second in (("x", dh_x, elevation_x), ("y", dh_y, elevation_y)):
        change, height = np.asarray(first, float), np.asarray(second, float)
        if change.shape != height.shape:
            raise ValueError(
                f"elevation change has {change.size} cells along {axis} and elevation {height.size}; expected one "
                "grid. Resample one onto the other."
            )
        step = abs(change[-1] - change[0]) / max(len(change) - 1, 1) or np.inf
        apart = float(np.max(abs(change - height))) / step
        if not apart <= GRID_TOLERANCE:
            raise ValueError(
                f"elevation change and elevation lie {apart:.2g} cells apart along {axis}; expected one grid. "
                "Resample one onto the other."
            )


def from_dems(dh_m: npt.ArrayLike, elevation_m: npt.ArrayLike, *, years: float) -> Floats:
    """Curve of one glacier from the change between two dated elevation models.

    Thinning never decreases down-glacier and its slope never does either, as in every curve of Huss et al. (2010);
    among such curves it is the one of least absolute deviation, each height counting alike, so that single outliers
    and the many cells of flat parts do not bend it. Before that go: changes and elevations that are implausible, and
    cells that contradict the shape at its ends (head cells thinning more than the typical height and tongue cells
    thinning less: failed correlation on snow, and rock or debris inside the outline).

    Parameters
    ----------
    dh_m : array_like, any shape, m
        Later minus earlier elevation, on the glacier; NaN or infinite where unknown.
    elevation_m : array_like, the same shape, m
        Elevation, of either date or their mean.
    years : float
        Between the two dates.

    Returns
    -------
    numpy.ndarray
        (POINTS,) normalised thinning, 0 at the top and 1 at the terminus.

    Raises
    ------
    ValueError
        If shapes differ, `years` is not positive, too few cells are good, or the glacier thins nowhere, or not more
        at its terminus than at its top.
    """
    change, height = np.asarray(dh_m, float), np.asarray(elevation_m, float)
    if change.shape != height.shape:
        raise ValueError(
            f"elevation change has shape {change.shape} and elevation {height.shape}; expected one grid. "
            "Resample one onto the other."
        )
    if not years > 0:
        raise ValueError(f"years between the elevation models is {years}; expected more than 0.")
    down, thinning = _good(-change.ravel(), height.ravel(), years)
    step = np.maximum(down[:, None] - np.arange(_KNOTS) / _KNOTS, 0)
    slopes = _least_absolute(np.c_[np.ones_like(down), step], thinning, 1 / _each_band(down))[1:]
    curve: Floats = np.maximum(HEIGHTS[:, None] - np.arange(_KNOTS) / _KNOTS, 0) @ slopes
    if not curve[-1] > _EVEN_M:
        raise ValueError(
            f"the glacier thins {curve[-1]:.1f} m more at its terminus than at its top; expected more than {_EVEN_M:g} "
            "m. Use class_curves."
        )
    curve /= curve[-1]
    return curve


def _good(thinning_m: Floats, elevation_m: Floats, years: float) -> tuple[Floats, Floats]:
    """Normalised height and thinning (m) of the cells to be believed: (cell,) each."""
    fastest, slowest = (-rate * years for rate in PLAUSIBLE_M_PER_YEAR)
    with np.errstate(invalid="ignore"):
        keep = np.isfinite(elevation_m) & (thinning_m > slowest) & (thinning_m < fastest)
    _enough(keep, thinning_m.size)
    low, high = np.percentile(elevation_m[keep], (25, 75))
    reach = _FENCE * (high - low)
    keep &= (elevation_m >= low - reach) & (elevation_m <= high + reach)
    down = _normalised(elevation_m[keep])
    thinning = thinning_m[keep]
    typical = _median(thinning, 1 / _each_band(down))
    if typical <= 0:
        raise ValueError(
            f"the typical height rose by {-typical:.1f} m; expected a glacier that thins. Use class_curves, or check "
            "that the change is later minus earlier."
        )
    odd = (down < _END) & (thinning > typical) | (down > 1 - _END) & (thinning < typical)
    _enough(~odd, thinning_m.size)
    return _normalised(elevation_m[keep][~odd]), thinning[~odd]


def _enough(keep: npt.NDArray[np.bool_], given: int) -> None:
    if keep.sum() < LEAST_CELLS:
        raise ValueError(
            f"{int(keep.sum())} of {given} cells have a plausible elevation change; expected at least {LEAST_CELLS}. "
            "Use class_curves."
        )


def _normalised(elevation_m: Floats) -> Floats:
    top, low = elevation_m.max(), elevation_m.min()
    if not top > low:
        raise ValueError(f"all cells lie at {top:.1f} m; expected a range of elevations. Use class_curves.")
    down: Floats = (top - elevation_m) / (top - low)
    return down


def _each_band(down: Floats) -> Floats:
    """How many cells lie in the band of each: (cell,)."""
    band = np.minimum((down * _BANDS).astype(int), _BANDS - 1)
    number: Floats = np.bincount(band)[band].astype(float)
    return number


def _median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values)
    along = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(along, along[-1] / 2)])


def _least_absolute(design: Floats, values: Floats, weight: Floats) -> Floats:
    """Coefficients, none negative, of least weighted absolute deviation by reweighted least squares."""
    from scipy.optimize import nnls

    root = np.sqrt(weight)
    for _ in range(_ROUNDS + 1):
        found: Floats = nnls(design * root[:, None], values * root)[0]
        root = np.sqrt(weight / np.maximum(abs(values - design @ found), _EVEN_M))
    return found
