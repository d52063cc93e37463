"""What a user is told of a training under way: folds of which schemes, members, epochs, the loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from glacierscale.folds import FoldPlan


def in_turn(plan: FoldPlan, members: int) -> Callable[[int], str]:
    """What to say when so many folds are done that are trained one after the other."""

    def told(done: int) -> str:
        fold = plan.folds[done - 1]
        own = plan.of(fold.scheme)
        return f"{fold.scheme} {own.index(done - 1) + 1} of {len(own)}, {members} members each"

    return told


def at_once(plan: FoldPlan, members: int) -> str:
    """What to say of folds that are trained together."""
    schemes = Counter(fold.scheme for fold in plan.folds)
    counts = ", ".join(f"{scheme} {count}" for scheme, count in schemes.items())
    return f"{len(plan.folds)} folds ({counts}) x {members} members at once"
