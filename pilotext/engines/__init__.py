"""Batch systems that start our agents or unmodified pilots, and the factory that keeps the right number of them queued.

The factory has no state but that of the batch system: its jobs are found there by their name.
"""
