"""Samples on their way from stores to networks: order, batches, climate spread on arrival or later."""

from __future__ import annotations

from glacierscale.training.feed.batches import Batch, Batches, spread
from glacierscale.training.feed.ground import StreamedGround, scene_in
from glacierscale.training.feed.loading import Loader, ahead, feed
from glacierscale.training.feed.order import Order

__all__ = ["Batch", "Batches", "Loader", "Order", "StreamedGround", "ahead", "feed", "scene_in", "spread"]
