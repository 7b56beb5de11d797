"""What every plugin must do, on a tiny task, in seconds on a CPU."""
