"""Published mass-balance observations -> one checked table in kg m-2, whatever was measured.

Every reader returns a DataFrame with the columns of `glacierscale.schema.OBSERVATIONS`, in that order, and counts what
it left out in ``attrs``.
"""

from glacierscale.sources.observations.geodetic import geodetic_from_dh, geodetic_norway, hugonnet_decades
from glacierscale.sources.observations.glacierwide import alpgm_matrix, glacierscale, norway_glacier_wide
from glacierscale.sources.observations.gridded import gridded_smb
from glacierscale.sources.observations.inventories import (
    estimated_slope20,
    inventories,
    merged,
    of_outlines,
)
from glacierscale.sources.observations.selection import REACH_M, inside
from glacierscale.sources.observations.stakes import iceland_stakes, norway_stakes
from glacierscale.sources.observations.table import DEFAULT_SIGMA_KG_M2, check_observations, empty
from glacierscale.sources.observations.wgms import wgms, wgms_profiles

__all__ = [
    "DEFAULT_SIGMA_KG_M2",
    "REACH_M",
    "alpgm_matrix",
    "check_observations",
    "empty",
    "estimated_slope20",
    "geodetic_from_dh",
    "geodetic_norway",
    "glacierscale",
    "gridded_smb",
    "hugonnet_decades",
    "iceland_stakes",
    "inside",
    "inventories",
    "merged",
    "norway_glacier_wide",
    "norway_stakes",
    "of_outlines",
    "wgms",
    "wgms_profiles",
]
