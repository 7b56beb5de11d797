"""What a grid will cost, from a short probe of everything that is new in it."""
