"""What commands share: running them, and flags of several."""
