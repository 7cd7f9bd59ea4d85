"""Faults on a real cluster: what the workers do while brokers, networks, topics and workers fail, and afterwards.

A fault is data (`catalogue`), a run records a history (`history`), and a checker judges the history afterwards
(`checker`). `make chaos` runs everything; `make chaos-core` runs a core of five minutes as tests.
"""
