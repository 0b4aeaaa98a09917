"""What lamps, lenses, cameras, files and fixtures do to images over time, each in five severities."""
