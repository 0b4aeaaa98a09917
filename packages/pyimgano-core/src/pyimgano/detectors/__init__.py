"""The detectors that core ships: numpy and OpenCV only."""
