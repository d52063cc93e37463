"""Geometry of glaciers under future climates."""
