"""Kafka: the processing loop, its link to the brokers, and the topics."""
