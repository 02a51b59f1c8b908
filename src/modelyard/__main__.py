"""`python -m modelyard`: the command, where there is no script on the path, as for torchrun."""

from modelyard.cli.main import main

if __name__ == "__main__":
    main()
