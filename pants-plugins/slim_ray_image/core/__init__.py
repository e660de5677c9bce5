"""The pure core: JSON and text in, frozen dataclasses out.

Nothing here imports Pants, opens a file or a socket; only the standard library, `packaging`, PyYAML (in one
module) and core itself. So every decision can be tested without an engine, and the programs in `sandbox/` can share it.

In the order of the flow:

| module       | decides                                                                   |
|--------------|---------------------------------------------------------------------------|
| errors       | how a user's mistake is worded                                             |
| parsing      | what tree the text of a Python source is                                   |
| import_paths | what `serve_app` and `entry_point` may say (stage 1)                       |
| yaml_lines   | at which line of a file a value is (stage 1)                                |
| ray          | the release of Ray that the plugin follows, and its ports                  |
| serve_schema | what Ray takes as a Serve config (stage 1)                                 |
| runtime_env  | what of a `runtime_env` defeats the image (stage 1)                        |
| serve_config | what `serve_config` says, as a Serve config or a KubeRay manifest (stage 1) |
| references   | what an image, as `base_image`, is named by                                |
| digests      | whether a blob is what its digest says                                     |
| base_manifest | which image of a manifest or an index is the base (stage 1)               |
| layout_index | which image of a local layout is the base (stage 1)                        |
| registry_request | what the programs that read a registry are told (stage 1)              |
| base_facts   | what is known of a base's files (stage 1)                                  |
| closure      | which import of which file brings a thing into the image, and where (stage 2) |
| ray_extras   | which extras of Ray the code needs (stage 2)                               |
| platforms    | what OCI, Python and uv each call a platform (stage 3)                      |
| consistency  | whether versions agree: manifest, lock, base, resolve (stage 3)             |
| requirements | who requires a distribution, and which extras (stage 3)                    |
| layers       | which distribution and which file goes into which layer (stage 4)          |
| prune_rules  | which rules of `prune` there are, and which parts distributions have (stage 4) |
| pruning      | which rules are on, and which parts an image needs (stage 4)               |
| module_uses  | which modules of Ray a file uses (stage 4)                                 |
| own_tests    | which files of a distribution are tests that nothing needs (stage 4)       |
| exclude_files | what the patterns of `exclude_files` match (stage 4)                      |
| dynamic_imports | which imports of a source nothing can follow (stage 4)                  |
| import_statements | which import statements want a module that is not there (stage 4)      |
| oci          | descriptors, image config, manifest, index (stage 5)                       |
| settings     | how the image runs: user, command, environment (stage 5)                   |
| names        | what the image is called (stage 6)                                         |
| outputs      | what `outputs` may say (stage 6)                                           |
| result       | image.json (stage 6)                                                       |
| contract     | what KubeRay expects of an image, for `pants check`                        |
| shared_libraries | whether the image's loader finds what ELF files name, for `pants check` |
| import_checks | what must import, and what a failure means, for `pants check`             |
| smoke_requests | the requests that `smoke_requests` names, and mistakes in them           |
| smoke_test   | what the programs of `pants test` are told, and what they tell             |
| kuberay      | what KubeRay does with an image, and what its answers mean                 |
| applications | where `pants tailor` finds a Serve application                             |
"""
