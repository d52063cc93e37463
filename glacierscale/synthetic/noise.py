"""Smooth random relief: cubic B-splines over random nodes, any slab of which can be made alone."""

from __future__ import annotations

import numpy as np

from glacierscale.synthetic.options import MARGIN_TILES, Floats, SyntheticOptions, generator

RELIEF_M = ((1.15, 190.0), (2.9, 150.0))
"""Node spacing in tiles and standard deviation in m of the large forms that glaciers lie on."""

BASE_M = 2900.0
"""Mean height of the large forms inside the lattice."""

LIMIT_M = 260.0
"""Large forms stay this close to the mean height."""

FORELAND_M = 1250.0
"""How far the foreland lies below the range."""

VALLEYS = ((0.6, 1.0), (0.27, 0.42), (0.12, 0.2), (0.06, 0.08))
"""Node spacing in tiles and weight of the fields whose zero lines are valleys."""

VALLEY_DEPTH_M = 950.0

RIDGES_M = ((0.34, 380.0), (0.16, 230.0), (0.08, 150.0), (0.045, 80.0))
"""Node spacing in tiles and height in m of the ridges, from mountains to gullies."""

# A cubic B-spline over independent standard normal nodes has this mean standard deviation in two dimensions.
_SPLINE_SD = 0.479


def _taps(position: Floats) -> tuple[np.ndarray, list[Floats]]:
    node = np.floor(position).astype(np.int64)
    f = position - node
    weights = [
        (1 - f) ** 3 / 6,
        (3 * f**3 - 6 * f**2 + 4) / 6,
        (-3 * f**3 + 3 * f**2 + 3 * f + 1) / 6,
        f**3 / 6,
    ]
    return node, weights


def _nodes(options: SyntheticOptions, level: str, spacing: float, first: int, last: int) -> Floats:
    count = int(options.shape[1] / (spacing * options.tile_cells)) + 5
    return np.stack([generator(options, level, row).standard_normal(count) for row in range(first, last)])


def _centres(first: int, last: int) -> Floats:
    """Centres of cells first..last."""
    return np.arange(first, last, dtype=np.float64) + 0.5


def _slab(options: SyntheticOptions, level: str, spacing: float, first: int, last: int) -> Floats:
    """One level of noise over terrain rows first..last, (y, x), standard deviation about 1."""
    cells = spacing * options.tile_cells
    row, row_weights = _taps(_centres(first, last) / cells)
    column, column_weights = _taps(_centres(0, options.shape[1]) / cells)
    nodes = _nodes(options, level, spacing, int(row[0]), int(row[-1]) + 4)
    wide, tall = np.zeros((len(nodes), column.size)), np.zeros((row.size, column.size))
    for k, weight in enumerate(column_weights):
        wide += weight * nodes[:, column + k]
    for k, weight in enumerate(row_weights):
        tall += weight[:, None] * wide[row - row[0] + k]
    return tall / _SPLINE_SD


def _points(options: SyntheticOptions, level: str, spacing: float, row: Floats, column: Floats) -> Floats:
    """One level of noise at positions given in terrain cells."""
    cells = spacing * options.tile_cells
    i, row_weights = _taps(np.clip(row, 0, options.shape[0]) / cells)
    j, column_weights = _taps(np.clip(column, 0, options.shape[1]) / cells)
    low = int(i.min())
    nodes = _nodes(options, level, spacing, low, int(i.max()) + 4)
    total = np.zeros_like(row)
    for k, wy in enumerate(row_weights):
        for m, wx in enumerate(column_weights):
            total += wy * wx * nodes[i - low + k, j + m]
    return total / _SPLINE_SD


def _foreland(options: SyntheticOptions, row: Floats, column: Floats) -> Floats:
    """How far a position lies outside the lattice of glaciers, 0 inside to 1 a margin away."""
    edge = MARGIN_TILES * options.tile_cells
    dy = np.maximum(np.maximum(edge - row, row - (options.shape[0] - edge)), 0)
    dx = np.maximum(np.maximum(edge - column, column - (options.shape[1] - edge)), 0)
    t = np.minimum(np.sqrt(dx * dx + dy * dy) / edge, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _forms(levels: list[Floats]) -> Floats:
    total = sum(height * level for (_, height), level in zip(RELIEF_M, levels, strict=True))
    return np.asarray(BASE_M + LIMIT_M * np.tanh(total / LIMIT_M))


def forms_at(options: SyntheticOptions, x_m: Floats, y_m: Floats) -> Floats:
    """Height of the large forms at points, m; beyond the terrain the foreland goes on."""
    if not x_m.size:
        return np.zeros_like(x_m)
    row, column = (options.north_m - y_m) / options.resolution_m, (x_m - options.west_m) / options.resolution_m
    levels = [_points(options, f"forms{k}", spacing, row, column) for k, (spacing, _) in enumerate(RELIEF_M)]
    return _forms(levels) - FORELAND_M * _foreland(options, row, column)


def background(options: SyntheticOptions, first: int, last: int) -> Floats:
    """Terrain rows first..last without glaciers: large forms and fractal ridges, (y, x) m."""
    row, column = _centres(first, last)[:, None], _centres(0, options.shape[1])[None, :]
    levels = [_slab(options, f"forms{k}", spacing, first, last) for k, (spacing, _) in enumerate(RELIEF_M)]
    foreland = _foreland(options, row, column)
    # Valleys follow the zero lines of a field, so that they join and drain; mountains stand between them.
    fields = [weight * _slab(options, f"valleys{k}", c, first, last) for k, (c, weight) in enumerate(VALLEYS)]
    cut = np.tanh(1.1 * np.abs(sum(fields)))
    rough = VALLEY_DEPTH_M * (cut - 0.68) * (1 - 0.5 * foreland)
    strength = (0.3 + 0.9 * cut) * (1 - 0.6 * foreland)
    for k, (spacing, height) in enumerate(RIDGES_M):
        # Noise folded at zero has sharp crests; small crests grow on large ones (Musgrave et al. 1989).
        crest = np.maximum(1 - np.abs(_slab(options, f"ridges{k}", spacing, first, last)), -0.6)
        rough += height * strength * crest
        strength = strength * np.clip(0.6 + 0.6 * crest, 0.3, 1.2)
    return np.asarray(_forms(levels) - FORELAND_M * foreland + rough)
