"""Predictions of held-out rows and observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from glacierscale.models.scene import Scene

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Predictions of held-out rows, or of held-out observations of all kinds."""

    row: npt.NDArray[np.integer]
    """(prediction,) row of the plan, or observation"""
    fold: npt.NDArray[np.integer]
    """(prediction,) fold that held it out"""
    mean: Floats
    """(prediction,) ensemble mean, kg m-2"""
    spread: Floats
    """(prediction,) standard deviation over members, kg m-2"""
    residual: Floats
    """(prediction,) standard deviation of what no member explains, kg m-2"""

    @property
    def std(self) -> Floats:
        """(prediction,) predictive standard deviation, kg m-2."""
        return np.hypot(self.spread, self.residual)


def spread(members: Floats) -> Floats:
    """Standard deviation over members, zero for a single one: (member, ...) -> (...)."""
    std: Floats = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1:])
    return std


def held_out_of(
    numbers: Sequence[int],
    tests: Sequence[npt.NDArray[np.integer]],
    members: Sequence[Floats],
    residual: Floats,
    kind: npt.NDArray[np.integer],
) -> HeldOut:
    """Held-out observations of some folds as one table; folds may have none.

    Parameters
    ----------
    numbers : sequence of int
        Folds.
    tests : sequence of (test,) int
        Observations that each holds out.
    members : sequence of (member, test)
        What its members say of them, kg m-2.
    residual : (fold, kind) kg m-2
    kind : (observation,) int
    """
    fold = np.repeat(np.array(numbers, np.int64), [len(test) for test in tests])
    row = np.concatenate([np.zeros(0, np.int64), *tests])
    mean = np.concatenate([np.zeros(0), *(found.mean(axis=0) for found in members)])
    std = np.concatenate([np.zeros(0), *(spread(found) for found in members)])
    return HeldOut(row=row, fold=fold, mean=mean, spread=std, residual=residual[fold, kind[row]])


def row_numbers(
    unit_id: npt.NDArray[np.str_], hydro_year: npt.NDArray[np.integer], kind: str, scene: Scene
) -> npt.NDArray[np.integer]:
    """Row of the plan that each observation of a scene is, -1 for others: (observation,)."""
    seen = scene.functionals
    number = np.full(len(seen), -1)
    if kind == "observation":  # rows are the observations themselves
        return np.arange(len(seen))
    rows = {key: row for row, key in enumerate(zip(unit_id.tolist(), hydro_year.tolist(), strict=True))}
    for observation in np.flatnonzero(seen.kind == kind):
        number[observation] = rows.get((str(seen.unit_id[observation]), int(seen.last_year[observation])), -1)
    return number


def rows_held(held: HeldOut, number: npt.NDArray[np.integer]) -> HeldOut:
    """Held-out observations by the rows that they are, those that are none left out."""
    chosen = number[held.row] >= 0
    kept = {f.name: getattr(held, f.name)[chosen] for f in fields(held)}
    return HeldOut(**{**kept, "row": number[kept["row"]]})
