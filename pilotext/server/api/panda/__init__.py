"""The door for unmodified PanDA pilots: the legacy protocol, the only one that they speak for jobs."""
