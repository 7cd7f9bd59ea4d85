"""What was put into a store."""

from scorer.store.store import BundleStore


def own(store: BundleStore) -> list[str]:
    """What is in the store and not shipped."""
    return [entry.reference for entry in store.entries() if not entry.shipped]
