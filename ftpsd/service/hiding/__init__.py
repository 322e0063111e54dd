"""Hidden uploads: taken at once, judged later, and published then."""
