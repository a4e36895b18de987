"""Exports of rules: table of codes, seed rows for PanDA, JSON Schema of rule files."""
