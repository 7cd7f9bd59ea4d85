"""Event-driven credit scoring on Kafka: every application becomes exactly one decision."""
