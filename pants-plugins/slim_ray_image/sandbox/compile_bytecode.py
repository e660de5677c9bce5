"""Compiles sources to unchecked-hash pycs (PEP 552) whose bytes depend on the sources and the interpreter alone.

`extract_base` and the programs that write layers run it as `python -B -s -S compile_bytecode.py LIST` with
PYTHONHASHSEED=0. LIST has three names for each file: the path of its source, its path in the image, and the path of
the pyc to write. A null byte, the one byte that no path can contain, ends each name. Three empty names end a group.

`marshal` flags each object that has more than one reference, and the interpreter shares strings among all the code
that it has loaded. So this process imports only modules that the interpreter itself has already loaded. It compiles
nothing itself either: a fork of it compiles each group, in the order of the list, and keeps each code object alive to
the end. So the bytecode of a distribution does not depend on the distributions that are compiled beside it. The names
in this program are shared strings, too: a new name that the interpreter itself does not have would change pycs.
"""

import marshal
import posix
import sys

import _imp

_MAGIC_NUMBER = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
_KEY = int.from_bytes(_MAGIC_NUMBER, "little")
_UNCHECKED_HASH = (1).to_bytes(4, "little")


def _compile(lines: list) -> None:  # type: ignore[type-arg]
    alive = []
    for index in range(0, len(lines), 3):
        source_path, image_path, pyc_path = lines[index : index + 3]
        with open(source_path, "rb") as source_file:
            source = source_file.read()
        try:
            code = compile(source, image_path, "exec", dont_inherit=True, optimize=0)
            alive.append(code)
            data = marshal.dumps(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            # compileall skips such files, too: distributions ship templates, code for other Pythons, and expressions
            # that are nested too deeply for the compiler or, with ValueError, for marshal.
            continue
        with open(pyc_path, "wb") as pyc_file:
            pyc_file.write(_MAGIC_NUMBER)
            pyc_file.write(_UNCHECKED_HASH)
            pyc_file.write(_imp.source_hash(_KEY, source))
            pyc_file.write(data)


def _compile_apart(lines: list) -> None:  # type: ignore[type-arg]
    child = posix.fork()
    if child:
        if posix.waitpid(child, 0)[1]:
            sys.exit(1)
        return
    code = 1
    try:
        _compile(lines)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        posix._exit(code)


def _main() -> None:
    # `mode` must be a keyword: the first such call makes the interpreter keep the names of all parameters, such as
    # `opener`. Flags in pycs depend on these names, and so do the digests of all layers built so far.
    with open(sys.argv[1], mode="rb") as file:
        lines = file.read().decode("utf-8", sys.getfilesystemencodeerrors()).split("\0")[:-1]
    start = 0
    for end in range(0, len(lines), 3):
        if not lines[end]:
            _compile_apart(lines[start:end])
            start = end + 3


_main()
