"""What is measured. Each is started by the benchmark, on free ports of loopback, and syncs before it answers."""
