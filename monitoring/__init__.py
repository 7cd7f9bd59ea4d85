"""How the scorer is watched: Prometheus' rules and Grafana's dashboards, written as code, and their configuration."""
