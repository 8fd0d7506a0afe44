"""A review as one HTML page that needs no network."""
