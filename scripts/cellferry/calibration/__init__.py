"""From the probabilities of the heads to a label: mixture, calibration, novelty, thresholds, decision."""
