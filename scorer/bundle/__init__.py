"""Bundles: building, checking, storing and opening them. Uses the disk, but not Kafka."""
