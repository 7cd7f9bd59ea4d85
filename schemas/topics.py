"""The topics' names, as they are unless a setting says otherwise."""

APPLICATIONS = "credit.applications"
DECISIONS = "credit.decisions"
DEAD_LETTERS = "credit.applications.dlq"
DEPLOYMENTS = "scorer.deployments"
