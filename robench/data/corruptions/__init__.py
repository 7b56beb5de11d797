"""Common corruptions of images: 15 kinds in four families, each at five severities."""
