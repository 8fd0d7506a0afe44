"""A release on its way through a target: change sets, review, guard, waves, bake, rollback."""
