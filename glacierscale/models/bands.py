"""Height ranges of elevation bands, which profiles state by their centres only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

_SAME = 0.02  # spacings this close, relative, are of one width


def band_edges(table: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper edge of every band, from the centres of its neighbours.

    The usual width of a glacier's bands is the most frequent distance of neighbouring centres over all its years (the
    median where none repeats). Bands that far apart meet half-way. A distance of several widths is a gap (bands
    without a value), into which no band extends. The lowest and the highest band are often cut where the glacier ends,
    with their centre in the middle of what is left: they begin where their neighbour of usual width ends and are
    symmetric about their centre. Any other neighbours meet half-way.

    Parameters
    ----------
    table : pandas.DataFrame
        Checked observations; those of kind ``"band"`` are used, by glacier and year.

    Returns
    -------
    lower, upper : (observation,) m
        NaN where the observation is no band, or is the only one that its glacier ever had.
    """
    lower, upper = np.full(len(table), np.nan), np.full(len(table), np.nan)
    place = pd.Series(np.arange(len(table)), index=table.index)
    bands = table[table["obs_kind"] == "band"].sort_values("obs_elevation")
    for _, of_unit in bands.groupby("obs_unit_id"):
        runs = [rows for _, rows in of_unit.groupby("obs_year")]
        steps = np.concatenate([np.diff(rows["obs_elevation"].to_numpy(np.float64)) for rows in runs])
        if not len(steps):
            continue
        found, count = np.unique(np.round(steps, 1), return_counts=True)
        width = float(found[count.argmax()] if count.max() > 1 else np.median(steps))
        for rows in runs:
            at = place[rows.index].to_numpy()
            lower[at], upper[at] = _edges(rows["obs_elevation"].to_numpy(np.float64), width)
    return lower, upper


def _edges(centre: npt.NDArray[np.float64], width: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Edges of the bands of one year, centres ascending: two (band,)."""
    last = len(centre) - 1
    lower, upper = centre - width / 2, centre + width / 2
    for i, step in enumerate(np.diff(centre)):
        times = step / width
        if times > 1.5 and abs(times - round(times)) <= _SAME * times:
            continue
        edge = (centre[i] + centre[i + 1]) / 2
        if i + 1 == last and i > 0 and step > width / 2:
            edge = centre[i] + width / 2
        elif i == 0 and last > 1 and step > width / 2:
            edge = centre[i + 1] - width / 2
        upper[i] = lower[i + 1] = edge
    if last > 0:
        lower[0], upper[last] = 2 * centre[0] - upper[0], 2 * centre[last] - lower[last]
    return lower, upper
