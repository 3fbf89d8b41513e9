"""How good it is: protocols, metrics and reports of error rates. Above the pipelines, below the settings."""
