"""Many calls: in this process, in others, and on a cluster."""
