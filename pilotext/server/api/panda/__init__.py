"""PanDA's pilot protocols: the legacy one, which unmodified pilots speak for jobs, and that of servers since 1.0."""
