"""Comparison of the results of two productions: entries of trees, and histograms by a statistical test."""
