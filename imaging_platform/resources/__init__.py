"""What assets and sensors are given: zones, keys and where the reports are served."""
