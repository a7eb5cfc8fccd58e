"""What an export learns from data: INT8 ranges, and reports to hold a language model against."""
