"""Tests of core.serve.yaml_lines."""

from __future__ import annotations

import functools
import time

import pytest
import yaml
from conftest import error_text

from slim_ray_image.core.serve.yaml_lines import Located, Place, read_documents, write_document

TEXT = """\
# A comment.
first: 1

second:
  - a: &anchor {deep: true}
    b: 2.5
  - *anchor
block: |

  line
  line
folded: >
  line
"""


WHOLE_FILE = Place("file.yaml")


def read(text: str, place: Place = WHOLE_FILE) -> Located:
    (document,) = read_documents(text, place)
    return document


def test_values_are_those_of_the_safe_loader() -> None:
    """Values are the same as from PyYAML's safe loader."""
    assert read(TEXT).plain == yaml.safe_load(TEXT)


def test_every_value_has_its_line() -> None:
    """The line of a value is where it starts; for an alias, where its anchor is."""
    document = read(TEXT)
    assert document.line == 2
    assert document["first"].line == 2
    assert document["second"].value[0]["b"].line == 6
    assert document["second"].value[1].line == 5


def test_text_of_a_literal_block_has_lines_of_its_own() -> None:
    """The text of a literal block starts on the line below its key; folded text has no lines of its own."""
    document = read(TEXT)
    assert (document["block"].line, document["block"].text_line) == (8, 9)
    assert document["block"].value == "\nline\nline\n"
    assert document["folded"].text_line is None


def test_nested_text_has_the_lines_of_the_file() -> None:
    """YAML in a literal block has the lines of the file; in other text, all of it has the first line."""
    nested = read("\na: 1\nb: 2\n", Place("file.yaml", 9))
    assert (nested["a"].line, nested["b"].line) == (10, 11)
    flat = read("a: 1\nb: 2\n", Place("file.yaml", 9, is_verbatim=False))
    assert (flat["a"].line, flat["b"].line) == (9, 9)


def test_missing_key_has_no_value() -> None:
    """A missing key, or a key below a scalar, has no value."""
    document = read("a: {b: 1}")
    found = document.get("a", "b")
    assert found is not None and found.value == 1
    assert document.get("a", "c") is None
    assert document.get("a", "b", "c") is None
    assert document.get("x", "y") is None


def test_empty_documents_are_left_out() -> None:
    """A document without content is left out, such as after a separator at the end."""
    assert [
        d.plain for d in read_documents("---\na: 1\n---\n# x\n---\nb: 2\n---\n", Place("f"))
    ] == [
        {"a": 1},
        {"b": 2},
    ]
    assert read_documents("", Place("f")) == ()


def repeated(first: str, each: str, count: int = 30) -> str:
    """Return a text of anchors, each of which names the one before it several times."""
    lines = [f"a0: &a0 {first}", *(f"a{n}: &a{n} {each.format(n - 1)}" for n in range(1, count))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(repeated("[x]", "[*a{0}, *a{0}, *a{0}]"), id="list"),
        pytest.param(repeated("{x: 1}", "{{x: *a{0}, y: *a{0}}}"), id="mapping"),
        pytest.param(repeated("{x: 1}", "{{<<: [*a{0}, *a{0}]}}"), id="merges"),
        pytest.param(repeated("{x: 1}", "{{<<: *a{0}, x: *a{0}}}"), id="merge and value"),
        pytest.param(repeated("{x: 1}", "{{<<: *a{0}, k{0}: 1}}", 600), id="many merges"),
    ],
)
def test_anchors_that_multiply_are_refused(text: str) -> None:
    """Aliases that multiply values are rejected within a second."""
    start = time.monotonic()
    message = error_text(lambda: read(text))
    assert time.monotonic() - start < 1
    assert message.startswith("The aliases in file.yaml stand for too many values: ")
    assert message.endswith(
        " if all were written out, but aliases may add at most 100000.\n\n"
        "To fix, use fewer aliases, above all inside of values that have an anchor themselves."
    )


def test_anchors_and_merges_of_a_usual_file_are_read() -> None:
    """A file may share values by anchors and merges, also in several levels."""
    common = ", ".join(f"k{n}: {n}" for n in range(50))
    parts = "\n".join(f"  - {{<<: [*more, *less], name: d{n}, env: *less}}" for n in range(100))
    text = f"less: &less {{{common}}}\nmore: &more {{<<: *less, x: *less}}\nparts:\n{parts}\n"
    assert read(text).plain == yaml.safe_load(text)


def test_file_without_aliases_may_have_as_many_values_as_fit() -> None:
    """The limit of aliases does not apply to values that are written out."""
    text = f"[{','.join(['1'] * 20_000)}]"
    assert read(text).plain == [1] * 20_000


def test_file_that_is_too_large_is_refused() -> None:
    """A file with too many bytes or values is rejected before it is parsed."""
    texts = {
        "a: " + "b" * 1_000_000: "1000000 bytes",
        "a: '" + "\u00e9" * 500_000 + "'": "1000000 bytes",
        f"[{','.join(['1'] * 100_000)}]": "50000 values",
    }
    for text, most in texts.items():
        assert error_text(functools.partial(read, text)) == (
            f"file.yaml is too large for a Serve config or a Kubernetes manifest: it has more than {most}.\n\n"
            "To fix, keep data in another file, which the code reads."
        )
    assert read("a: " + "b" * 999_000)["a"].value == "b" * 999_000


@pytest.mark.parametrize(
    "number",
    ["0x" + "f" * 5000, "1" * 5000, "1" + ":59" * 2000, "0b" + "1" * 5000, "1." + "0" * 5000],
    ids=["hexadecimal", "decimal", "sexagesimal", "binary", "fraction"],
)
def test_number_without_end_is_refused(number: str) -> None:
    """A number of thousands of characters is rejected without quotes, and text with them."""
    problem = f"file.yaml:2: a value of {len(number)} characters has to be text, in quotes"
    assert problem in error_text(lambda: read(f"a: 1\nb: {number}"))
    assert read(f"b: '{number}'")["b"].value == number


def test_head_is_what_a_value_starts_with() -> None:
    """The head of a value has at most the given number of values."""
    found = read("{a: [1, 2, [3, 4]], b: {c: 5}, d: 6}")
    assert found.head(100) == found.plain
    assert found.head(4) == {"a": [1, 2]}
    assert found.head(1) == {}


def test_own_key_wins_over_a_merged_one() -> None:
    """A mapping's own key overrides a merged one."""
    text = "a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a\n"
    assert read(text)["b"].plain == {"x": 1, "y": 3} == yaml.safe_load(text)["b"]


def test_mapping_that_is_merged_and_merges_is_read_as_it_is() -> None:
    """A key that overrides a merged one is not a duplicate, even if its mapping is merged again."""
    text = "base: &base {a: 1}\ntop: {<<: &mid {<<: *base, a: 2}}\nother: *mid\n"
    assert read(text).plain == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "file.yaml:1: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb: 2\na: 3\n", "file.yaml:3: the key 'a' is already set at line 1"),
        ("{{ a }}: 1", "file.yaml:1: a key is not a scalar"),
        ("a: &a [*a]", "file.yaml:1: a value contains itself by an alias"),
        ("a: 1\nb: 2020-13-45", "file.yaml:2: month must be in 1..12"),
        ("a: !!set {b}", "file.yaml:1: the tag 'tag:yaml.org,2002:set' is not supported"),
        ("a: \x07", "file.yaml:1: the character 7 is not allowed"),
        (
            "a: !!python/name:os.system ''",
            "file.yaml:1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("a: *b", "file.yaml:1: found undefined alias 'b'"),
        ("a: 1\nb: !!bool maybe", "file.yaml:2: 'maybe' is not a valid !!bool"),
        ("a: !!timestamp today", "file.yaml:1: 'today' is not a valid !!timestamp"),
        ("a: !!int ''", "file.yaml:1: '' is not a valid !!int"),
        ("a: !!map x", "file.yaml:1: 'x' is not a valid !!map"),
        ("!!set x: 1", "file.yaml:1: 'x' is not a valid !!set"),
        ("a: !!seq {b: 1}", "file.yaml:1: the tag 'tag:yaml.org,2002:seq' is not supported"),
        (f"a: {'[' * 2000}{']' * 2000}", "file.yaml: lists or mappings are nested too deeply"),
    ],
    ids=[
        *("open list", "key twice", "template", "holds itself", "no date", "set", "control"),
        *("code", "no anchor", "no flag", "no time", "no number"),
        *("no mapping", "no set", "no list", "depth"),
    ],
)
def test_what_is_no_plain_data_is_an_error(text: str, problem: str) -> None:
    """An error has the file, the line and PyYAML's reason."""
    assert error_text(lambda: read(text)) == (
        f"file.yaml is not valid YAML.\n\n  * {problem}\n\n"
        "To fix, correct file.yaml; render a template, such as one of Helm's, first."
    )


def test_document_is_written_in_its_order() -> None:
    """A document is written in the order of its keys, and read back as the same value."""
    value = {"b": [{"c": "ä", "a": None}], "a": "1"}
    assert write_document(value) == "b:\n- c: ä\n  a: null\na: '1'\n"
    assert yaml.safe_load(write_document(value)) == value
