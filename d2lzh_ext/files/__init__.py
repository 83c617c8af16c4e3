"""What reads and writes bytes that it cannot trust."""
