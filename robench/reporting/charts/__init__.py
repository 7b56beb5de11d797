"""Figures as data, drawn twice: with matplotlib for papers, as SVG for the page."""
