"""What becomes of results when something goes wrong."""
