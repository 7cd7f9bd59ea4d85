"""What operators do on Kafka: topics, deployments, dead letters, offsets, diagnosis, and bounded reading."""
