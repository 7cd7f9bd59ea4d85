"""Runs commands of `scorer` one after the other in this process, until one fails: `in_turn.py 'config' 'bundle list'`.

Starting Python and its imports takes most of a command, and what they find around them is the same for all.
"""

import shlex
import sys

from scorer.cli import main

for _command in sys.argv[1:]:
    sys.argv = ["scorer", *shlex.split(_command)]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
