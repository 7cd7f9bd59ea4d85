"""Where bundles are kept and moved: folders and URLs, references, tags, archives, trusted keys."""
