"""Unit tests of scorer/author."""
