"""What publishers use: applications onto the input topic, decisions from the output topic."""
