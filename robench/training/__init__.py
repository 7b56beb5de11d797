"""What a training method is, and the one loop that trains it."""
