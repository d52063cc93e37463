"""Shares tile the networks, as even as can be, or the steps where networks do not go round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glacierscale.training.shares import deal, whole

COUNTS = st.integers(1, 200)


@given(networks=COUNTS, workers=COUNTS, divisible=st.booleans())
def test_every_network_is_dealt_once_and_none_has_much_more_than_another(
    networks: int, workers: int, divisible: bool
) -> None:
    shares = deal(networks, workers, divisible=divisible)
    assert len(shares) == workers
    assert {share.of for share in shares} == {networks}
    if divisible and workers > networks:
        assert [(share.start, share.stop, share.piece, share.pieces) for share in shares] == [
            (0, networks, piece, workers) for piece in range(workers)
        ]
        return
    assert [number for share in shares for number in range(share.start, share.stop)] == list(range(networks))
    counts = [share.count for share in shares]
    assert max(counts) - min(counts) <= 1
    assert all(share.pieces == 1 for share in shares)


def test_a_single_process_has_everything() -> None:
    assert deal(7, 1, divisible=True) == [whole(7)]
    assert list(range(7))[whole(7).networks] == list(range(7))
