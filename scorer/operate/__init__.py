"""Operations on Kafka: topics, deployments, dead letters, offsets, reviews, diagnosis, and bounded reading."""
