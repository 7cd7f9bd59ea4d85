"""The contract with everyone else: what is on the topics, in which form, what is refused. Imports nothing of ours."""
