"""Clients of AWS, and how it is asked: errors in two kinds, pace, patience."""
