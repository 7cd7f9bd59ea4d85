"""The store: one suite for every place."""
