# What a developer does here; each recipe is what CI or the README does, nothing else.

python := ".venv/bin/python"

# A virtual environment with the tested versions of everything
setup:
    python3 -m venv .venv
    {{python}} -m pip install -q -c constraints.txt -e ".[dev,torch]"

# The embedded default: HAR on the S&P 500 that comes with the arch package
demo:
    .venv/bin/harness run hypotheses/sp500-har.toml

# The tests; HARNESS_DATA=DIR adds those on real data
test *arguments:
    {{python}} -m pytest {{arguments}}

# Style, imports, docstrings, types
lint:
    {{python}} -m ruff check .
    {{python}} -m ruff format --check .
    {{python}} -m mypy harness

# Measured speed, as ratios in one interleaved run
bench *arguments:
    {{python}} tests/bench/run.py {{arguments}}

# Regenerate docs/reference.md from the command line and the tables
docs:
    {{python}} docs/generate.py
