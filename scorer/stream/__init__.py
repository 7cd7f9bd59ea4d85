"""Room 3, Kafka: the loop, its link to the brokers, and the topics."""
