"""Checks of rule files and profiles, one file for each family of checks; `runner` runs them all."""
