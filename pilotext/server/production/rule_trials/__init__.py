"""Trials of changed rules on a log and on kept reports; nothing is written."""
