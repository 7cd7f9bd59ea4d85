"""Room 2, disk: the deployable thing, made, checked, stored and opened. No Kafka."""
