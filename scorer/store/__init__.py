"""Storage of bundles: folders and URLs, references, tags, archives, trusted keys."""
