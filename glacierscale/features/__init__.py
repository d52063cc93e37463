"""Predictors per glacier: climate, terrain and coverage kernels, and the stage that assembles them."""
