"""Where glaciers and points lie: groups of neighbours, bands of latitude, distances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6371.0

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


def from_cut_km(lon: Floats, lat: Floats) -> Floats:
    """Distance of points from their median along the axis along which they spread most; it points east or north."""
    places, at = np.unique(np.stack([lon, lat], axis=1).astype(np.float64), axis=0, return_inverse=True)
    position = positions_km(places[:, 0], places[:, 1])
    axis = np.linalg.svd(position - position.mean(axis=0), full_matrices=False)[2][0]
    turn = np.radians(places[0, 0])
    east = axis[1] * np.cos(turn) - axis[0] * np.sin(turn)
    forward = max(east, axis[2], key=abs)
    along: Floats = (position @ (axis if forward > 0 else -axis))[at]  # one number a place, however often it was read
    return along - np.median(along)


def positions_km(lon: Floats, lat: Floats) -> Floats:
    """Points on the sphere, so that distance is right everywhere, the date line included."""
    along, up = np.radians(lon), np.radians(lat)
    return EARTH_RADIUS_KM * np.stack([np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)], axis=-1)


def spatial_groups(lon: Floats, lat: Floats, groups: int) -> Ints:
    """Neighbouring glaciers in at most `groups` groups, by k-means."""
    if len(lon) <= groups:
        return np.arange(len(lon))
    from sklearn.cluster import KMeans

    labels = KMeans(groups, n_init=4, random_state=0).fit_predict(positions_km(lon, lat))
    return np.unique(labels, return_inverse=True)[1]


def random_groups(glaciers: int, groups: int, seed: int) -> Ints:
    """Glaciers in groups of about equal size, drawn at random: (glacier,) from 0 to at most `groups` - 1."""
    drawn: Ints = np.random.default_rng([seed, glaciers]).permutation(glaciers) % groups
    return drawn


def bands(lat: Floats, degrees: float) -> Floats:
    """Southern edge of the band of latitude that each glacier lies in, counted from the equator."""
    south: Floats = np.round(np.floor(lat / degrees) * degrees, 9)
    return south


def within(lon: Floats, lat: Floats, test: npt.NDArray[np.bool_], buffer_km: float) -> npt.NDArray[np.bool_]:
    """Which glaciers lie nearer than a buffer to a held-out one."""
    from scipy.spatial import cKDTree

    position = positions_km(lon, lat)
    distance: Floats = cKDTree(position[test]).query(position)[0]
    return distance < buffer_km
