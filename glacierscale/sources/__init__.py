"""Pure functions that turn what publishers write into the names and units of `glacierscale.schema`."""
