"""What run folders say, read without torch: which there are, and how they differ."""
