"""The topics' names, as they are unless a setting says otherwise."""

APPLICATIONS = "credit.applications"
DECISIONS = "credit.decisions"
DEAD_LETTERS = "credit.applications.dlq"
DEPLOYMENTS = "scorer.deployments"

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"  # what Kafka allows
