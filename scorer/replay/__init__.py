"""Replays: select past applications by their current decisions, rescore them, publish corrections and report."""
