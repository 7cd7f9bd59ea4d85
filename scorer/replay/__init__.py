"""Past applications again: which were decided by what, deciding them anew, and what came of it."""
