"""From stored outcomes to tidy rows and intervals; never imports torch."""
