"""How a program of the sandbox is called and how it reports a user's mistake to the rule that started it."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, Mapping

from slim_ray_image.core.errors import SlimRayImageError

# EX_DATAERR of sysexits.h: the input was wrong, not the program.
USER_ERROR = 65


def run_program(main: Callable[[Mapping[str, Any]], None]) -> None:
    """Call `main` with the request that the one argument names, a JSON file."""
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    try:
        main(request)
    except SlimRayImageError as error:
        sys.stderr.write(str(error))
        sys.exit(USER_ERROR)


def write_json(path: str, value: Any) -> None:
    """Write `value` as JSON of one spelling."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, sort_keys=True, indent=1)
