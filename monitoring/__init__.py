"""Monitoring of the scorer: Prometheus rules and Grafana dashboards as code, and their configuration."""
