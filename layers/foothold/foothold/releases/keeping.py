"""Releases in the artifact stores: written once in each, listed and read."""
