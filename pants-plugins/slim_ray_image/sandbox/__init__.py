"""The programs that run in Pants' sandboxes: the only code that touches registries, tar, gzip, wheels and bytecode.

Each is called as `python -m slim_ray_image.sandbox.NAME REQUEST.json`, reads its inputs from the sandbox and writes
its outputs there. A user's mistake ends it with exit code `report.USER_ERROR` and the whole message on stderr.

| program          | runs on                | does                                                              |
|------------------|------------------------|-------------------------------------------------------------------|
| fetch_uv         | a Python of this host  | fetches uv, by hash                                               |
| resolve_image    | a Python of this host  | finds the base in its registry: its manifest and config           |
| fetch_blob       | a Python of this host  | fetches a layer of the base from its registry                     |
| extract_base     | a Python of this host  | takes the base's own interpreter and facts out of its layers      |
| install_tools    | a Python of this host  | installs the tools that run on the base's interpreter             |
| find_docker      | a Python of this host  | says whether a Docker answers                                     |
| try_image        | a Python of this host  | runs an image in Docker, as KubeRay does                          |
| ask_http         | the image's own Python | asks a server in a container, for try_image                       |
| remove_container | a Python of this host  | removes the container of try_image when that is gone              |
| list_wheels      | a Python of this host  | says what a wheel of the repository puts into site-packages       |
| fetch_wheels     | a Python of this host  | wheels of the lock, by hash, from a cache, a URL or an index      |
| subset_lock      | the base's interpreter | lock and requirements -> the exact wheels                         |
| describe_wheels  | the base's interpreter | wheels -> what is in each                                         |
| repack           | the base's interpreter | a PEX of Pants' own rules -> wheels of what it built              |
| pack_pex         | the base's interpreter | wheels -> packed PEX (pex)                                        |
| write_*_layer    | the base's interpreter | a distribution, first-party files, or the runtime -> one layer    |
| write_slice      | the base's interpreter | small distributions -> a slice of the layer that they share       |
| join_slices      | the base's interpreter | slices and the virtual environment itself -> that layer           |
| list_layer       | the base's interpreter | a layer -> its entries and ELF files, for `pants check`           |
| unpack_layer     | the base's interpreter | a layer -> its files, for `pants check`                           |
| import_modules   | the base's interpreter | imports what an image must be able to import, from its own files  |
| write_archive    | the base's interpreter | blobs -> image.tar                                                |
| compile_bytecode | the base's interpreter | sources -> unchecked-hash pycs, for extract_base and layers        |

`deterministic_tar` is where equal input becomes equal bytes.
"""
