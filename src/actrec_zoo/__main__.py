"""`python -m actrec_zoo`."""

from actrec_zoo.cli import main

if __name__ == "__main__":
    main()
