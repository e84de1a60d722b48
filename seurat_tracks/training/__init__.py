"""Train the network on procedural scenes, or on point-tracking data sets."""
