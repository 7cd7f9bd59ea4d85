"""The web console, for monitoring, trying applications, reviewing MAYBE decisions, and requeueing dead letters."""
