"""Configuration: YAML to typed frozen values, with every complaint at its place and all of them at once."""
