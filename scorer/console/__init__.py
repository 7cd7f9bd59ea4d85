"""The web console, for monitoring, trying applications, and reviewing MAYBE decisions."""
