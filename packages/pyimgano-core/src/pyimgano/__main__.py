"""``python -m pyimgano`` is the ``pyimgano`` command."""

from pyimgano.cli.app import main

if __name__ == "__main__":
    main()
