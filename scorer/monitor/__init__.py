"""Monitoring: metrics, health, traces, and the HTTP thread that serves metrics and probes."""
