"""How the optional dependencies of this package are installed."""


def install_command(extra: str) -> str:
    """Returns the command that installs an extra: from the sources, because no package index has this package."""
    return f"pip install '.[{extra}]' in a checkout of the project (docs/install.md)"
