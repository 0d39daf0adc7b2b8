#!/usr/bin/env bash
# Sets up everything the tests need (an environment, a browser) and runs the quick suite; with --thorough, instead, what
# that leaves out. Other arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt -r tests/requirements.txt

# Any Chromium will do: the system's, else the distribution's package, else Playwright's own download.
if ! command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && { apt-get install -y -qq chromium-headless-shell || apt-get install -y -qq chromium; } >/dev/null
  else
    .venv/bin/playwright install chromium
  fi
fi
echo "Set up in $SECONDS seconds."

unset PYTHONDONTWRITEBYTECODE  # else each of a hundred processes compiles all modules anew
SECONDS=0
trap 'echo "Checked and tested in $((SECONDS / 60)) min $((SECONDS % 60)) s."' EXIT
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet .
# Two at a time, a file each: more would need more memory.
.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 10 "$@"
