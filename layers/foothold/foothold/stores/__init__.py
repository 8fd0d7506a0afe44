"""Artifact stores: a bucket and a key in every region that is wanted, kept as they should be."""
