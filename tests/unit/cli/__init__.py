"""The command line; a package so that its tests may share how a command is run."""
