"""Both engines on drawn bundles and records: their results must have the same bytes."""
