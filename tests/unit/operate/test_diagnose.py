"""`scorer doctor` on what needs no broker: the bundles and their store."""

from scorer.operate.diagnose import _DeployedBundles
from scorer.settings import Settings
from scorer.store import DEFAULT_BUNDLE


def test_a_store_whose_support_is_not_installed() -> None:
    """It is a finding: it was an error that ended the diagnosis, although the other checks were possible."""
    deployed = _DeployedBundles(Settings(store="foo://x"), (None, DEFAULT_BUNDLE), lambda *_: ())
    (finding,) = deployed.check(has_history=False)
    assert finding.state == "wrong"
    assert "cannot be opened: foo://x: is not a supported URL" in finding.text
