"""The HTTP server of workers and console: addresses, connection limits, throttled logging."""
