"""Results folders merged and cleaned: whole files, under their locks."""
