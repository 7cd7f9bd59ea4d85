"""The tests; a package so that they can share their fakes."""

import os

# A thread of OpenMP or OpenBLAS that has nothing to do keeps a core busy for a while, which other tests could use.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
