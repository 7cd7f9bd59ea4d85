"""Storage of bundles: folders and URLs, references, tags, archives, trusted keys."""

from typing import Final

DEFAULT_BUNDLE: Final = "credit-risk:1.1.1"
"""The shipped bundle that workers use before the first deployment."""
