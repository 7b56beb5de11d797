"""What a cell is, its key, and its files on disk."""
