"""Local runs: a broker (given, in Docker, on Java, or a mock), workers, a publisher and an audit."""
