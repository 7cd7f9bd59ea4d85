"""Unit tests, by room."""
