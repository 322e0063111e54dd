"""The programs that look at uploads, each with the language it speaks."""
