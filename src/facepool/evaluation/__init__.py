"""How good it is: protocols, metrics and reports of error rates. Below the settings."""
