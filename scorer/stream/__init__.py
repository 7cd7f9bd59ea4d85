"""The processing loop and its link to Kafka: polling, scoring, delivery, and following deployments."""
