"""Runs the `producer` command for `python -m producer`."""

from producer.cli import main

main()
