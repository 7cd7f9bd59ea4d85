"""The default names of the topics."""

APPLICATIONS = "credit.applications"
DECISIONS = "credit.decisions"
DEAD_LETTERS = "credit.applications.dlq"
DEPLOYMENTS = "scorer.deployments"

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"  # Kafka's rule
