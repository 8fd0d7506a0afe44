"""What Foothold decides. Standard library only: no AWS, no clock, no logging."""
