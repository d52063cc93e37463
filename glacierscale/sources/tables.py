"""Attribute tables of outlines and inventories."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd

_SPELLINGS = {
    "Arves": "Aiguilles d'Arves",
    "Grand Galibier": "Galibier",
    "Aiguilles Rouges - Ruan": "Aiguilles Rouges",
    "Mt Blanc": "Mont Blanc",
    "Hte Maurienne": "Haute Maurienne",
    "Hte Tarentaise": "Haute Tarentaise",
}
"""Other names under which the French inventories list a massif."""


def cleaned(table: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """Text of the first of some columns that is there, without padding: (row,) str.

    The RGI's stray ``À`` (a mis-read blank) and placeholders count as none.
    """
    column = next((table[name] for name in names if name in table.columns), None)
    if column is None:
        return np.full(len(table), "", dtype=object)
    text = column.fillna("").astype(str).str.replace(r"(?:\s+|^)À\s*$", "", regex=True).str.strip()
    return text.where(~text.isin(["None", "nan", "NA", "-9999"]), "").to_numpy(object)


def subregions(table: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """Massif or other subregion, one spelling each: (row,) str, empty where unknown.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per outline.
    names : tuple of str
        The column with its name; or the two of the RGI's regions of first and second order, whose numbers are joined as
        in RGI 7 (``"11-01"``).
    """
    if len(names) == 2:
        first, second = (pd.Series(cleaned(table, (name,))) for name in names)
        known = (first != "") & (second != "")
        return (first.str.zfill(2) + "-" + second.str.zfill(2)).where(known, "").to_numpy(object)
    text = pd.Series(cleaned(table, names), dtype=object).map(_without_accents)
    return text.replace(_SPELLINGS).to_numpy(object)


_POINTS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
_TOPOGRAPHY = {"mean_elevation": "MEAN_Pixel", "max_elevation": "MAX_PixelV", "min_elevation": "MIN_PixelV"}


def degrees_of(aspect: pd.Series) -> pd.Series:
    """Degrees clockwise from north of points of the compass (``"WNW"``); NaN for anything else."""
    angle = {point: 22.5 * number for number, point in enumerate(_POINTS)}
    found: pd.Series = aspect.astype(str).str.strip().str.upper().map(angle).astype(np.float64)
    return found


def french_topography(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the outlines of the French inventory state of each glacier.

    Returns
    -------
    dict
        ``mean_elevation``, ``max_elevation``, ``min_elevation`` (m), ``aspect`` (degree), ``mean_slope`` (degree: the
        height over the length) and ``climate_zone`` (int, number of the SAFRAN massif, 0 where none), each (row,);
        empty where the table lacks one.
    """
    needed = [*_TOPOGRAPHY.values(), "Length", "aspect_sec", "massif_SAF"]
    if not set(needed) <= set(table.columns):
        return {}
    heights = {name: pd.to_numeric(table[column], errors="coerce") for name, column in _TOPOGRAPHY.items()}
    length = pd.to_numeric(table["Length"], errors="coerce")
    height = heights["max_elevation"] - heights["min_elevation"]
    slope = np.degrees(np.arctan((height / length.where(length > 0)).to_numpy(np.float64)))
    found = {name: values.where(values > 0).to_numpy(np.float64) for name, values in heights.items()}
    return found | {
        "aspect": degrees_of(table["aspect_sec"]).to_numpy(),
        "mean_slope": slope,
        "climate_zone": pd.to_numeric(table["massif_SAF"], errors="coerce").fillna(0).to_numpy(np.int32),
    }


def _without_accents(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
