"""What each figure of a report shows; one a file."""
