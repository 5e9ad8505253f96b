"""Memory and time: what the job of each rule needs, and what a run takes."""
