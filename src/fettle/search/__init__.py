"""Search for the fastest form of a trained network that keeps its accuracy, by measuring on the machine that serves."""
