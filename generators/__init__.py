"""Generation of derived files: schemas, rules, dashboards, the chart's README and the reference."""
