"""What the doctor says of a group, from its description alone."""

from scorer.operate.finding import Finding
from scorer.operate.group import Group, Member
from scorer.operate.group_checks import check_assignment, check_rollout
from scorer.operate.rollout import Rollout, UnswitchedWorker

OLD, NEW = f"credit-risk:1.0.0@{'1' * 64}", f"my-risk:1.0.0@{'2' * 64}"


def group(*members: tuple[int, ...], rebalancing: bool = False) -> Group:
    """Workers with these partitions."""
    described = (Member(f"id-{n}", f"scorer-{n}", "scorer", None, frozenset(each)) for n, each in enumerate(members))
    return Group(tuple(described), rebalancing)


def assignment(described: Group, partitions: int = 2, waiting: int = 0) -> list[Finding]:
    """The findings of a group on a topic of so many partitions."""
    return list(check_assignment("scorer", described, partitions, {0: (waiting, 7)} if waiting else {}))


def test_every_partition_has_an_owner() -> None:
    """A group at work is in order, whatever waits at the moment."""
    assert [f.state for f in assignment(group((0,), (1,)), waiting=100)] == ["ok"]


def test_no_worker() -> None:
    """Before the first start that is in order; where applications wait, it is said."""
    assert [f.state for f in assignment(group())] == ["ok"]
    (finding,) = assignment(group(), waiting=1)
    assert finding.state == "warning"
    assert "1 application is waiting" in finding.text


def test_a_partition_without_an_owner() -> None:
    """Its applications would wait for ever, and nothing else says so: no worker reports a lag for it."""
    (finding,) = assignment(group((0,), (3,)), partitions=4)
    assert finding.state == "wrong"
    assert finding.text.startswith("partitions 1, 2 of 4 have no owner, with 2 workers in group scorer")


def test_more_workers_than_partitions() -> None:
    """The rest stand idle, which may be intended."""
    (finding,) = assignment(group((0,), (1,), ()))
    assert (finding.state, finding.text) == (
        "warning", "group scorer has 3 workers for 2 partitions; idle workers: 1",
    )  # fmt: skip


def test_while_partitions_move() -> None:
    """Nothing can be said of owners then."""
    assert [f.state for f in assignment(group((0,), rebalancing=True))] == ["warning"]


def test_a_rollout_in_words() -> None:
    """Who decides with what, and why, as far as it is known; before the first deployment it is a warning."""
    why = "no such bundle"
    refused = Rollout(
        2, (UnswitchedWorker("a", (0,), (OLD,), why), UnswitchedWorker("b", (1,), (OLD,), why)), rebalancing=False
    )
    silent = Rollout(2, (UnswitchedWorker("a", (0,), (), ""),), rebalancing=False)
    finding = check_rollout(refused, NEW, is_deployed=True)
    assert finding.state == "wrong"
    assert finding.text.startswith(
        "2 of 2 workers do not decide with my-risk:1.0.0 (current: credit-risk:1.0.0): no such"
    )
    assert finding.text.count(why) == 1
    assert "(current: none)" in check_rollout(silent, NEW, is_deployed=True).text
    assert check_rollout(silent, NEW, is_deployed=False).state == "warning"
    assert check_rollout(Rollout(2, (), rebalancing=False), NEW, is_deployed=True).state == "ok"
    assert check_rollout(Rollout(2, (), rebalancing=True), NEW, is_deployed=True).state == "warning"
