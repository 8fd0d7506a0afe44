"""Why somebody may not have an artifact: the real chain, link by link, and the smallest fix."""
