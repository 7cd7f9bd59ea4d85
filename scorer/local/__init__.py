"""Brokers on this machine: one that is given, in Docker, on Java, or a mock inside this process."""
