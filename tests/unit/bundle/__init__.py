"""Room 2; a package so that its tests and those of the commands may share the making of bundles."""
