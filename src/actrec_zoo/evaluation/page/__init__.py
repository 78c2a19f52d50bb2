"""report.html: an evaluation to look at, in one file."""
