"""The entry: ``python run_pipeline.py --help``."""

from cli import main

if __name__ == "__main__":
    main()
