"""The accept gate without engines."""
