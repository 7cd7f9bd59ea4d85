"""The contract with everyone else: what is on the topics, in which form, and what is refused. Imports nothing of ours."""
