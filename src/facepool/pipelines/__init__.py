"""Where stages meet: each pipeline is one job of the product from its first input to its last output."""
