"""Hostile input for everything that reads what others wrote: `make fuzz`, and a slice of it in `make test`."""
