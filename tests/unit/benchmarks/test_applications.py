"""Repeated applications: no id twice, and nothing else changed."""

from itertools import islice

from benchmarks.applications import Application, repeat


def test_repeated_under_other_ids() -> None:
    """Numbers continue where the drawn applications end; the values are the same except for the id."""
    drawn = [Application(b"w-%d" % n, b'{"a":%d,"id":"w-%d"}' % (n, n)) for n in range(2)]
    assert list(islice(repeat(drawn), 5)) == [
        *drawn,
        Application(b"w-2", b'{"a":0,"id":"w-2"}'),
        Application(b"w-3", b'{"a":1,"id":"w-3"}'),
        Application(b"w-4", b'{"a":0,"id":"w-4"}'),
    ]
