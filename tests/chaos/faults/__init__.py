"""The faults, each a frozen dataclass: brokers, the network, workers, topics, records, and operators."""
