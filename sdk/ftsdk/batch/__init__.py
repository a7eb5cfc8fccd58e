"""Many pictures into one file of answers: which files there are, a row for each, and the book."""
