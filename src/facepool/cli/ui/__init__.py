"""What commands share on the terminal and in the window."""
