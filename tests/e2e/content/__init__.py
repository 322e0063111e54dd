"""What becomes of the bytes that clients send: encrypted, decrypted, kept, held."""
