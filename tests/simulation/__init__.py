"""The worker on fakes that go wrong by chance, checked for what it may never do."""
