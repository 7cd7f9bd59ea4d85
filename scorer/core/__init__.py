"""Room 1, pure: from an application's bytes to its decision's bytes. No clock, network, disk, log or global state."""
