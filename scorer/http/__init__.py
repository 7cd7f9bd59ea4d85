"""The HTTP server that workers and the console share: addresses, connection limits, throttled logging."""
