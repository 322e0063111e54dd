"""How an upload grows, is resumed, and is published."""
