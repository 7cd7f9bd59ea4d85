"""`python -m scorer` is `scorer`."""

from scorer.cli import main

main()
