"""Measurements: ratios between programs that ran in turns on one machine, never bare figures."""
