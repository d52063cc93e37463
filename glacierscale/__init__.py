"""Distributed, cloud-native reconstruction and projection of glaciers."""
