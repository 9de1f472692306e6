"""Side-by-side timings. ``make bench`` prints the table."""
