"""Tables and figures from tidy rows; never imports torch."""
