"""Releases' ports, on AWS."""
