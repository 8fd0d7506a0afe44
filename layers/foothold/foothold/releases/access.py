"""Whether an IAM policy allows more than another one. Pure."""
