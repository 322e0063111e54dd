"""The sections about what follows a transfer, and the checks of what they name."""
