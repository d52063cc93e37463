"""The form of every glacier: a cirque basin and a tongue in the coordinates of its own flow line."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from glacierscale.synthetic import noise
from glacierscale.synthetic.options import MARGIN_TILES, Floats, SyntheticOptions, block, normal, uniform
from glacierscale.units import GRAVITY_M_S2, ICE_DENSITY_KG_M3

AREA_M2 = (0.2e6, 15e6)
"""Limits of the log-normal areas; the tile sets a lower upper limit."""

AREA_MEDIAN_M2, AREA_LOG_SD = 1.1e6, 0.95

SIDE_VERTICES = (30, 100)
"""Fewest and most vertices on one side of an outline."""

CLEAR_M = 400.0
"""Ice keeps this far from the border of its tile."""

HARMONICS = 11

MIDDLE_M = 2960.0
"""Mean height half way down: near the equilibrium line, which knows less of the large forms than terrain does."""


@dataclass(frozen=True)
class Forms:
    """Geometry of a block of glaciers, one entry each."""

    x_m: Floats
    """Centre in the projection, (glacier)."""
    y_m: Floats
    aspect: Floats
    """Direction of flow, radians clockwise from north, (glacier)."""
    length_m: Floats
    """Extent along the flow, (glacier)."""
    left_m: Floats
    """Offset of the left margin from the axis at every knot, (glacier, knot)."""
    right_m: Floats
    knots: np.ndarray
    """Intervals between knots along one side; later entries of the tables repeat the last, (glacier)."""
    area_m2: Floats
    """Area of the outline, (glacier)."""
    radius_m: Floats
    """Radius around the centre that holds all ice, (glacier)."""
    reach_m: Floats
    """Radius around the centre inside which the glacier shapes the terrain, (glacier)."""
    middle_m: Floats
    """Height half way down, (glacier)."""
    drop_m: Floats
    """Height from head to tongue on the axis, (glacier)."""
    bulge: Floats
    """How much steeper than the mean the ends are, (glacier)."""
    width_m: Floats
    """Half width of the cirque, (glacier)."""
    tongue: Floats
    """Width of the tongue over that of the cirque, (glacier)."""
    waist: Floats
    """Where basin turns into tongue, as a fraction of the length, (glacier)."""

    def take(self, index: np.ndarray) -> Forms:
        """Return these glaciers."""
        return Forms(*(getattr(self, f.name)[index] for f in fields(self)))

    def spread(self, index: np.ndarray) -> Forms:
        """Return one entry per point of glaciers; the tables of margins, large, stay one per glacier."""
        kept = {"left_m": self.left_m, "right_m": self.right_m}
        return Forms(**{f.name: kept[f.name] if f.name in kept else getattr(self, f.name)[index] for f in fields(self)})


def knot_fraction(knot: np.ndarray, knots: np.ndarray) -> Floats:
    """Fraction of the length at a knot; knots crowd at the round ends."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(knot / knots, 1.0)))


def _valley(s: Floats, tongue: Floats, waist: Floats) -> Floats:
    """Half width of the valley over that of the cirque: wide above, narrow below."""
    return np.asarray(tongue + (1 - tongue) / (1 + np.exp((s - waist) / 0.075)))


def _margins(options: SyntheticOptions, start: int, stop: int, draws: Floats, knots: np.ndarray) -> tuple[Floats, ...]:
    """Margins of outlines of length 1: left, right, cirque half width, tongue, waist."""
    s = knot_fraction(np.arange(SIDE_VERTICES[1] + 1), knots[:, None])  # (glacier, knot)
    width = 0.24 + 0.12 * draws[:, 3]
    tongue, waist = 0.26 + 0.22 * draws[:, 4], 0.42 + 0.16 * draws[:, 5]
    rough = uniform(options, "margin", start, stop, 2 * HARMONICS).reshape(-1, 2, HARMONICS)
    k = np.arange(1, HARMONICS + 1)
    sides = []
    for side in range(2):
        waves = np.zeros_like(s)
        for j in range(HARMONICS):
            waves += (0.15 / k[j] ** 0.8) * np.sin(2 * np.pi * (0.8 * k[j] * s + rough[:, side, j, None]))
        sides.append(np.clip(1 + waves, 0.5, 1.5))
    rounded = np.sqrt(np.maximum(1 - (2 * s - 1) ** 4, 0)) * _valley(s, tongue[:, None], waist[:, None])
    bend = (draws[:, 6, None] - 0.5) * 0.7 * (s - 0.5) ** 2 + (draws[:, 7, None] - 0.5) * 0.12 * np.sin(2 * np.pi * s)
    half = width[:, None] * rounded
    return bend - half * sides[0], bend + half * sides[1], width, tongue, waist


def _fit(
    options: SyntheticOptions, draws: Floats, area: Floats, knots: np.ndarray, left: Floats, right: Floats
) -> Floats:
    """Length that gives the wanted area, or less where the tile is too small, (glacier) m."""
    s = knot_fraction(np.arange(SIDE_VERTICES[1] + 1), knots[:, None])
    unit_area = np.sum((right - left)[:, 1:] * np.diff(s) + (right - left)[:, :-1] * np.diff(s), axis=1) / 2
    unit_radius = np.sqrt(np.max((s - 0.5) ** 2 + np.maximum(left**2, right**2), axis=1))
    longest = (options.tile_m / 2 - CLEAR_M) / unit_radius
    return np.asarray(np.minimum(np.sqrt(area / unit_area), longest * (0.9 + 0.1 * draws[:, 8])))


def forms(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> Forms:
    """Geometry of a block of glaciers.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    start, stop : int
        Glaciers of the block; all by default.

    Returns
    -------
    Forms
        Areas are log-normal between 0.2 and 15 km2, cut where the tile ends; the flow follows the large forms.
    """
    start, stop = block(options, start, stop)
    draws = uniform(options, "form", start, stop, 12)
    area = AREA_MEDIAN_M2 * np.exp(AREA_LOG_SD * normal(options, "area", start, stop, 1)[:, 0])
    area = np.clip(area, *AREA_M2)
    fewest, most = SIDE_VERTICES
    knots = np.clip(np.round(12 + 32 * np.sqrt(area / 1e6)), fewest, most).astype(np.int64)
    left, right, width, tongue, waist = _margins(options, start, stop, draws, knots)
    length = _fit(options, draws, area, knots, left, right)
    left, right = left * length[:, None], right * length[:, None]
    s = knot_fraction(np.arange(most + 1), knots[:, None])
    area = np.sum(((right - left)[:, 1:] + (right - left)[:, :-1]) * np.diff(s), axis=1) / 2 * length
    radius = np.sqrt(np.max(((s - 0.5) * length[:, None]) ** 2 + np.maximum(left**2, right**2), axis=1))

    tile = np.arange(start, stop)
    slack = np.maximum(options.tile_m / 2 - CLEAR_M - radius, 0)
    shift = (draws[:, 0:2] * 2 - 1) * 0.8 * slack[:, None]
    x = options.west_m + (tile % options.columns + MARGIN_TILES + 0.5) * options.tile_m + shift[:, 0]
    y = options.north_m - (tile // options.columns + MARGIN_TILES + 0.5) * options.tile_m + shift[:, 1]
    reach = options.tile_m / 2 - np.max(np.abs(shift), axis=1, initial=0)

    near = 0.25 * options.tile_m
    east = noise.forms_at(options, x + near, y) - noise.forms_at(options, x - near, y)
    north = noise.forms_at(options, x, y + near) - noise.forms_at(options, x, y - near)
    slope = 0.35 * np.power(area / 1e6, -0.1) * np.exp(0.22 * (2 * draws[:, 9] - 1))
    return Forms(
        x_m=x,
        y_m=y,
        aspect=np.mod(np.arctan2(-east, -north), 2 * np.pi),
        length_m=length,
        left_m=left,
        right_m=right,
        knots=knots,
        area_m2=area,
        radius_m=radius,
        reach_m=reach,
        middle_m=MIDDLE_M + 0.35 * (noise.forms_at(options, x, y) - noise.BASE_M) + 70 * (2 * draws[:, 10] - 1),
        drop_m=slope * length,
        bulge=0.15 + 0.45 * draws[:, 11],
        width_m=width * length,
        tongue=tongue,
        waist=waist,
    )


@dataclass(frozen=True)
class Surface:
    """A glacier's terrain at points of its tile."""

    inside: np.ndarray
    """On the ice."""
    elevation_m: Floats
    """Ice surface, and the cirque and valley that hold it."""
    away_m: Floats
    """Distance outside the valley floor, 0 on it."""
    slope: Floats
    """Slope of the ice surface along the flow, m m-1."""
    thickness_m: Floats
    """Ice thickness, 0 outside."""


def local(form: Forms, x_m: Floats, y_m: Floats) -> tuple[Floats, Floats]:
    """Fraction of the length below the head, and distance from the axis in m."""
    sin, cos = np.sin(form.aspect), np.cos(form.aspect)
    dx, dy = x_m - form.x_m, y_m - form.y_m
    return (dx * sin + dy * cos) / form.length_m + 0.5, dx * cos - dy * sin


def projected(form: Forms, s: Floats, v_m: Floats) -> tuple[Floats, Floats]:
    """Undo `local`: x and y in the projection, m."""
    sin, cos = np.sin(form.aspect), np.cos(form.aspect)
    u = (s - 0.5) * form.length_m
    return form.x_m + u * sin + v_m * cos, form.y_m + u * cos - v_m * sin


def axis_height(form: Forms, s: Floats) -> tuple[Floats, Floats]:
    """Height of the ice surface on the axis in m and its slope in m m-1, s from 0 to 1."""
    fallen = s + form.bulge * np.sin(2 * np.pi * s) / (2 * np.pi)
    slope = form.drop_m / form.length_m * (1 + form.bulge * np.cos(2 * np.pi * s))
    return form.middle_m + form.drop_m * (0.5 - fallen), slope


def surface(form: Forms, index: np.ndarray, x_m: Floats, y_m: Floats) -> Surface:
    """Terrain at points near glaciers.

    Parameters
    ----------
    form : Forms
        A block of glaciers.
    index : numpy.ndarray
        Which of them each point belongs to, (point).
    x_m, y_m : numpy.ndarray
        The points, (point) m.

    Returns
    -------
    Surface
        One entry per point. Thickness is that of a perfectly plastic glacier, tau / (rho g sin(slope)), with the basal
        stress of Haeberli & Hoelzle (1995, Annals of Glaciology 21), a parabola across and thin ends.
    """
    tables = form.left_m, form.right_m
    thin = form.spread(index)
    along, v = local(thin, x_m, y_m)
    s = np.clip(along, 0, 1)
    knot = np.minimum((np.arccos(1 - 2 * s) / np.pi * thin.knots).astype(np.int64), thin.knots - 1)
    below, above = knot_fraction(knot, thin.knots), knot_fraction(knot + 1, thin.knots)
    part = np.clip((s - below) / (above - below), 0, 1)
    left, right = (t[index, knot] + part * (t[index, knot + 1] - t[index, knot]) for t in tables)
    inside = (along > 0) & (along < 1) & (v > left) & (v < right)

    ice, slope = axis_height(thin, s)
    middle, half = (left + right) / 2, np.maximum((right - left) / 2, 1.0)
    valley = np.maximum(thin.width_m * _valley(s, thin.tongue, thin.waist), half)
    across = np.minimum(np.abs(v - middle) / valley, 1.0)
    # Ice hangs up to the walls of its cirque and swells between those of its valley.
    ice = ice + 0.09 * valley * np.clip((thin.waist - s) * 4, -0.6, 1) * across**2
    beside = np.maximum(np.abs(v - middle) - valley, 0)
    behind, before = np.maximum(-along, 0) * thin.length_m, np.maximum(along - 1, 0) * thin.length_m
    walls = 0.75 * beside * beside / (beside + 90) + 0.9 * behind * behind / (behind + 60)
    away = np.sqrt(beside * beside + behind * behind)

    drop_km = thin.drop_m / 1000
    stress_pa = np.minimum(500 + 159_800 * drop_km - 43_500 * drop_km**2, 150_000)
    plastic = stress_pa / (ICE_DENSITY_KG_M3 * GRAVITY_M_S2 * np.sin(np.arctan(slope)))
    ends = 1 - (2 * s - 1) ** 8
    parabola = np.maximum(1 - (np.abs(v - middle) / half) ** 2, 0)
    thickness = np.where(inside, plastic * ends * np.maximum(parabola, 0.02), 0.0)
    return Surface(inside, ice + walls - 0.22 * before, away, slope, thickness)
