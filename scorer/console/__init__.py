"""The web console, for monitoring and for trying applications."""
