"""The client matrix: every client that can be had is taken through one scenario; docs/clients.md is what came of it."""
