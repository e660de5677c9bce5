"""`pants check`: the shared libraries that the ELF files of an image name, and whether its own loader finds them.

In: what is in the image. Out: the libraries that it lacks. Nothing is run, so that no library of this machine can hide
that the image has none. Order of the search: ld.so(8), https://man7.org/linux/man-pages/man8/ld.so.8.html.
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

# What the driver of a GPU brings: it is of the node, which mounts it into containers, and must not be in an image.
NODE_LIBRARIES = (
    "libcuda.so.*",
    "libcudadebugger.so.*",
    "libnvcuvid.so.*",
    "libnvidia-*.so.*",
    "libnvoptix.so.*",
)

# What distributions try to load, and do without: each is for one of several libraries that a machine may have.
_OPTIONAL_FILES = (
    "numba/np/ufunc/omppool.*.so",
    "numba/np/ufunc/tbbpool.*.so",
    "onnxruntime/capi/libonnxruntime_providers_*.so",
    "torchaudio/lib/*sox*.so",
    "torio/lib/*ffmpeg*.so",
)

# Debian's packages, of bookworm and trixie alike, of what wheels name most and slim bases lack.
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
    """A library that the loader does not find for an ELF file of ours."""

    library: str
    path: str
    distribution: Optional[LayerDistribution]  # that the file is of, by RECORD


def _configured_directories(contents: ImageContents, path: str = _CONFIGURATION) -> Iterator[str]:
    """The directories of ld.so.conf, from which the base's ldconfig made the loader's cache."""
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
    """Where the file itself says to look; $ORIGIN is its directory."""
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
    """A distribution, and all that it requires, by way of others too."""
    found, waiting = {name}, [name]
    while waiting:
        new = set(required.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return frozenset(found)


def _is_optional(path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, f"*/site-packages/{glob}") for glob in _OPTIONAL_FILES)


class _Loader:
    """The image's own loader, as far as DT_NEEDED goes."""

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
        """Whether a library is found for a file, by a path, in a directory, or because it is loaded already.

        A wheel that bundles libraries lets the first of them find the others, and each of those is known by its
        DT_SONAME from then on; so does one that loads the libraries of what it requires. So within a distribution and
        what it requires a library is found wherever it lies.
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
    """Return the libraries that the ELF files of our layers name and the image lacks, by library and path.

    Args:
        environment: Of the image config.
        node_libraries: Patterns, as of `fnmatch`, of what the node brings.
    """
    loader = _Loader(contents, platform, environment)
    own_loader = contents.files.find(platform.loader)
    machine = own_loader.elf.machine if own_loader and own_loader.elf else None
    found = []
    for path in sorted(contents.own):
        elf = contents.files.entries[path].elf
        # Of another machine: for a debugger, say.
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
    """Return one problem for each library that is missing."""
    by_library: dict[str, list[MissingLibrary]] = defaultdict(list)
    for one in missing:
        by_library[one.library].append(one)
    return tuple(
        Problem(
            f"The image {image} lacks the shared library {library}: neither {base_reference} nor a layer on it has it "
            "where the loader looks.",
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
            f"leave {one.path} out by `exclude_files`, if what loads it does without"
            for one in found[:1]
        ),
        f"add {library!r} to `[slim-ray].node_libraries`, if the nodes of the cluster bring it into containers",
    )
