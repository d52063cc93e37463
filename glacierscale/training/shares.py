"""Dealing a training out: networks over processes, or pieces of every step where processes outnumber networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one process trains.

    Networks share no parameter, so that a share is trained as it would be among all others; dividing the steps
    instead makes processes sum their gradients.
    """

    start: int
    """First network."""
    stop: int
    """One past the last."""
    of: int
    """Networks of the whole."""
    piece: int = 0
    """Which piece of every step."""
    pieces: int = 1
    """In how many pieces every step goes round."""

    @property
    def networks(self) -> slice:
        """Where they are among all."""
        return slice(self.start, self.stop)

    @property
    def count(self) -> int:
        """How many networks."""
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Hardware of one process."""

    accelerator: str = "auto"
    """Lightning's name of it."""
    device: int = -1
    """Number of the accelerator; -1 takes the first free one."""
    threads: int
    """Cores that the process may keep busy."""


def whole(networks: int) -> Share:
    """Everything in one process."""
    return Share(start=0, stop=networks, of=networks)


def deal(networks: int, workers: int, *, divisible: bool) -> list[Share]:
    """Contiguous shares, as even as can be.

    Parameters
    ----------
    networks : int
        How many there are.
    workers : int
        How many processes.
    divisible : bool
        Whether steps can be cut into pieces, which they are where there are fewer networks than workers. Otherwise
        the workers beyond get shares without networks.
    """
    if divisible and workers > networks:
        return [Share(start=0, stop=networks, of=networks, piece=r, pieces=workers) for r in range(workers)]
    dealt = min(networks, workers)
    bounds = [networks * r // dealt for r in range(dealt + 1)] + [networks] * (workers - dealt)
    return [Share(start=bounds[r], stop=bounds[r + 1], of=networks) for r in range(workers)]
