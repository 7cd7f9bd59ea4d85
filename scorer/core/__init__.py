"""Pure functions from an application's bytes to its decision's bytes: no clock, network, disk, log or global state."""
