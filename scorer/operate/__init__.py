"""Operations on Kafka: topics, deployments, dead letters, offsets, diagnosis, and bounded reading."""
