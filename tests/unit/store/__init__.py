"""Unit tests of scorer/store."""
