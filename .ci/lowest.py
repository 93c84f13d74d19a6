"""Print a pip constraints file that holds every dependency of pyproject.toml at its lower bound.

Usage: python lowest.py pyproject.toml > constraints.txt
"""

import re
import sys
import tomllib
from pathlib import Path

# `name>=version`, perhaps with extras before and a marker after. Development tools carry lower bounds too, but a check of
# the package's own bounds should not also depend on years-old test tools.
BOUND = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?\s*>=\s*(?P<version>[0-9][0-9.]*)\s*(;.*)?$")


def main(path: str) -> None:
    """Write one `name==version` line per dependency that users get."""
    project = tomllib.loads(Path(path).read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for name, lines in extras.items() if name != "dev" for line in lines)]
    for line in wanted:
        if line.startswith(project["name"] + "["):
            continue  # one extra naming another
        found = BOUND.match(line)
        if found is None:
            sys.exit(f"{line!r} has no plain lower bound 'name>=version'; every dependency needs one")
        print(f"{found['name']}=={found['version']}")


main(sys.argv[1])
