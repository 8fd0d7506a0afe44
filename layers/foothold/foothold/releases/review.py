"""All change sets of a target as one: folded, and the dangerous ones first. Pure."""
