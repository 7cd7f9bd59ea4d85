"""Tests of the console's parts that need no broker."""
