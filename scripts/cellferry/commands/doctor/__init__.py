"""`make doctor`: whether this machine can run the workflow, each module with the checks of one part of it."""
