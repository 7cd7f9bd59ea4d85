"""Tests of scorer.local without a broker; a package, because its conftest is not the only one."""
