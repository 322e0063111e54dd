"""From the text of a file to values with places, and complaints that repeat no secret."""
