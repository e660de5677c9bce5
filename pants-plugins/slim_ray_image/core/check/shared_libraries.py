"""`pants check`: find the shared libraries that ELF files of an image need and the image's loader does not find.

In: the contents of the image. Out: the missing libraries. No program of the image is run, since libraries of this
machine could hide that the image lacks them. Order of the search: ld.so(8),
https://man7.org/linux/man-pages/man8/ld.so.8.html.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Iterable, Iterator, Mapping, Optional, Sequence

from packaging.utils import canonicalize_name

from slim_ray_image.core.check.layer_contents import Elf, ImageContents, LayerDistribution
from slim_ray_image.core.errors import Problem
from slim_ray_image.core.platforms import Platform

# Libraries of a GPU's driver: the node mounts them into containers, and an image must not contain them.
NODE_LIBRARIES = (
    "libcuda.so.*",
    "libcudadebugger.so.*",
    "libnvcuvid.so.*",
    "libnvidia-*.so.*",
    "libnvoptix.so.*",
)

# Files that distributions try to load and can do without: each is for one of several libraries that a machine may have.
_OPTIONAL_FILES = (
    "numba/np/ufunc/omppool.*.so",
    "numba/np/ufunc/tbbpool.*.so",
    "onnxruntime/capi/libonnxruntime_providers_*.so",
    "torchaudio/lib/*sox*.so",
    "torio/lib/*ffmpeg*.so",
)

# Debian packages, the same in bookworm and trixie, of the libraries that wheels most often need and slim bases lack.
_DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libaio.so.1": "libaio1",
    "libatomic.so.1": "libatomic1",
    "libcurl.so.4": "libcurl4",
    "libgfortran.so.5": "libgfortran5",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libltdl.so.7": "libltdl7",
    "libmariadb.so.3": "libmariadb3",
    "libnuma.so.1": "libnuma1",
    "libodbc.so.2": "libodbc2",
    "libopenblas.so.0": "libopenblas0",
    "libpq.so.5": "libpq5",
    "libquadmath.so.0": "libquadmath0",
    "libsndfile.so.1": "libsndfile1",
    "libstdc++.so.6": "libstdc++6",
    "libxml2.so.2": "libxml2",
    "libxslt.so.1": "libxslt1.1",
}
_CONFIGURATION = "/etc/ld.so.conf"
_DEFAULT_DIRECTORIES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


@dataclass(frozen=True)
class MissingLibrary:
    """A shared library that an ELF file in the plugin's layers needs and the image's dynamic loader would not find.

    Attributes:
        library: Name of the library, from DT_NEEDED.
        path: Absolute path of the ELF file.
        distribution: Distribution whose RECORD lists the ELF file.
    """

    library: str
    path: str
    distribution: Optional[LayerDistribution]


def _configured_directories(contents: ImageContents, path: str = _CONFIGURATION) -> Iterator[str]:
    """Yield the directories of shared libraries that the image's /etc/ld.so.conf and the files it includes name."""
    file = contents.files.find(path)
    for line in (file.text or "").splitlines() if file else ():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                pattern = posixpath.join(posixpath.dirname(path), pattern)
                for included in sorted(fnmatch.filter(contents.files.entries, pattern)):
                    yield from _configured_directories(contents, included)
        else:
            yield from (word for word in re.split(r"[\s:,]+", " ".join(words)) if word)


def _loader_directories(
    contents: ImageContents, platform: Platform, environment: Mapping[str, str]
) -> tuple[str, ...]:
    triplet = f"{platform.machine}-linux-gnu"
    found = [
        *filter(None, environment.get("LD_LIBRARY_PATH", "").split(":")),
        *_configured_directories(contents),
        *(f"/lib/{triplet}", f"/usr/lib/{triplet}"),
        *_DEFAULT_DIRECTORIES,
    ]
    return tuple(dict.fromkeys(found))


def _own_directories(path: str, elf: Elf) -> Iterator[str]:
    """Yield the absolute directories of an ELF file's RUNPATH or RPATH; $ORIGIN is the directory of the file."""
    for directory in elf.search:
        expanded = re.sub(r"\$(ORIGIN\b|\{ORIGIN\})", posixpath.dirname(path), directory)
        if expanded.startswith("/"):
            yield posixpath.normpath(expanded)


def _required_names(distribution: LayerDistribution) -> Iterator[str]:
    for line in distribution.requires:
        match = re.match(r"[\w.-]+", line)
        if match:
            yield canonicalize_name(match[0])


def _reachable(name: str, required: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return a distribution and all distributions that it requires, directly or indirectly."""
    found, waiting = {name}, [name]
    while waiting:
        new = set(required.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return frozenset(found)


def _is_optional(path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, f"*/site-packages/{glob}") for glob in _OPTIONAL_FILES)


class _Loader:
    """A model of the image's dynamic loader, to find shared libraries without running a program of the image."""

    def __init__(
        self, contents: ImageContents, platform: Platform, environment: Mapping[str, str]
    ) -> None:
        self._files = contents.files
        self._directories = _loader_directories(contents, platform, environment)
        self.owners = {
            path: distribution
            for distribution in contents.distributions
            for path in distribution.binaries
        }
        self._required = {d.name: tuple(_required_names(d)) for d in contents.distributions}
        self._bundled: dict[str, set[str]] = defaultdict(set)
        for path, owner in self.owners.items():
            elf = self._elf(path)
            if elf:
                self._bundled[owner.name] |= {posixpath.basename(path), elf.soname or ""}

    def _elf(self, path: str) -> Optional[Elf]:
        file = self._files.find(path)
        return file.elf if file else None

    def finds(self, library: str, path: str, elf: Elf) -> bool:
        """Return whether the image's dynamic loader would find `library` for the ELF file at `path`.

        A name with a slash is a path. Any other name is looked up in directories, and then among the libraries in the
        file's distribution and in the distributions that it requires, in any directory. Code of a wheel often
        loads such libraries itself before the file needs them, and the loader then knows each by its DT_SONAME.
        """
        if "/" in library:
            return self._is_loadable(library, elf)
        directories = (*_own_directories(path, elf), *self._directories)
        if any(self._is_loadable(f"{directory}/{library}", elf) for directory in directories):
            return True
        owner = self.owners.get(path)
        return owner is not None and any(
            library in self._bundled.get(name, ())
            for name in _reachable(owner.name, self._required)
        )

    def _is_loadable(self, path: str, by: Elf) -> bool:
        elf = self._elf(path)
        return elf is not None and elf.machine == by.machine


def missing_libraries(
    contents: ImageContents,
    platform: Platform,
    environment: Mapping[str, str],
    node_libraries: Sequence[str],
) -> tuple[MissingLibrary, ...]:
    """Return the shared libraries that ELF files in the plugin's layers need and the image lacks, by library and path.

    Args:
        environment: Environment variables of the image config.
        node_libraries: `fnmatch` patterns for names of libraries that the node mounts into containers.
    """
    loader = _Loader(contents, platform, environment)
    own_loader = contents.files.find(platform.loader)
    machine = own_loader.elf.machine if own_loader and own_loader.elf else None
    found = []
    for path in sorted(contents.own):
        elf = contents.files.entries[path].elf
        # Files for another machine may be there for a debugger, for example.
        if elf is None or elf.machine != machine or _is_optional(path):
            continue
        for library in elf.needed:
            is_of_node = any(fnmatch.fnmatchcase(library, pattern) for pattern in node_libraries)
            if not is_of_node and not loader.finds(library, path, elf):
                found.append(MissingLibrary(library, path, loader.owners.get(path)))
    return tuple(sorted(found, key=lambda missing: (missing.library, missing.path)))


def library_problems(
    image: str, base_reference: str, missing: Iterable[MissingLibrary]
) -> tuple[Problem, ...]:
    """Return one problem for each shared library that the image lacks, sorted by the library's name."""
    by_library: dict[str, list[MissingLibrary]] = defaultdict(list)
    for one in missing:
        by_library[one.library].append(one)
    return tuple(
        Problem(
            f"The image {image} lacks the shared library {library}: the loader finds it neither in {base_reference} "
            "nor in the layers on top.",
            tuple(
                f"{one.path}{f' of {one.distribution}' if one.distribution else ''} needs it"
                for one in found
            ),
            _library_fixes(library, found),
        )
        for library, found in sorted(by_library.items())
    )


def _library_fixes(library: str, found: Sequence[MissingLibrary]) -> tuple[str, ...]:
    package = _DEBIAN_PACKAGES.get(library)
    names = sorted({one.distribution.name for one in found if one.distribution})
    return (
        f"name a base image in `base_image` that has {library}"
        + (f"; Debian's package is {package}" if package else ""),
        *(f"lock a version of {name} whose wheel bundles {library}" for name in names),
        *(
            f"exclude {one.path} by `exclude_files`, if the code that loads it can do without"
            for one in found[:1]
        ),
        f"add {library!r} to `[slim-ray].node_libraries`, if the nodes of the cluster mount it into containers",
    )
