"""Memory and time of each rule's jobs and of a run."""
