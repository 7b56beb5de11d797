"""What `benchmarks/chaos.py` is made of."""
