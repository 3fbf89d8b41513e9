"""``python -m facepool``."""

from facepool.cli.main import main

if __name__ == "__main__":
    main()
