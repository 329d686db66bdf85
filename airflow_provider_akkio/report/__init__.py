"""A trained model for a person to look at: as a web page, and as a few lines of text."""
