"""Foothold: an artifact store in every region an organisation's pipelines deploy to."""
