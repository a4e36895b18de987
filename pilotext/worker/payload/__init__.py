"""Processes of a payload: started, followed and ended."""
