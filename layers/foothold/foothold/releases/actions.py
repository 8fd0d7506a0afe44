"""What the actions of a pipeline ask: a review, a guard, a bake."""
