"""Requests about one application: what they may name."""

import pytest

from schemas.decision import BundleReference
from scorer.console.application_endpoints import _parse_bundle
from scorer.errors import MisuseError


def test_the_query_names_a_bundle() -> None:
    """By name, version and digest, each in its form: never a path."""
    query = {"name": "mine", "version": "2.0.0", "digest": "0" * 64}
    assert _parse_bundle(query) == BundleReference(name="mine", version="2.0.0", digest="0" * 64)
    for wrong in ({"name": "../x"}, {"version": "latest"}, {"digest": "x"}):
        with pytest.raises(MisuseError, match="name a bundle by name, version and digest"):
            _parse_bundle({**query, **wrong})
    with pytest.raises(MisuseError):
        _parse_bundle({})
