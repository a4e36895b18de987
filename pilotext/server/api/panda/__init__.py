"""PanDA's legacy pilot protocol, the only one that unmodified pilots speak for jobs."""
