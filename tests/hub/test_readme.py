"""README.md of a model that people write in too."""

from __future__ import annotations

import pytest

from actrec_zoo.errors import HubError
from actrec_zoo.hub.readme import marked_sections, merge, metadata


def card(evaluation: str, head: str = "library_name: actrec-zoo\ntags:\n- action-recognition\n") -> str:
    return f"---\n{head}---\n\n# Ours\n\nWords.\n\n" + marked_sections({"Evaluation": evaluation, "Use": "so"})


def test_our_sections_are_brought_up_to_date_and_nothing_else_is_touched() -> None:
    there = card("old").replace("# Ours", "# Theirs\n\nA person's words, with ``code``.") + "\n## Thanks\n\nto all\n"
    merged = merge(there, card("new"), "README.md")
    assert merged == there.replace("old", "new")
    assert merge(merged, card("new"), "README.md") == merged


def test_where_nothing_is_ours_is_taken_as_it_is() -> None:
    assert merge("", card("x"), "README.md") == card("x")


def test_a_section_that_a_person_took_out_stays_out() -> None:
    start = "<!-- actrec-zoo: begin Use -->"
    there = card("old")[: card("old").index(start)]
    merged = merge(there, card("new"), "README.md")
    assert "new" in merged and start not in merged


def test_a_section_that_is_ours_no_more_goes() -> None:
    there = card("old") + marked_sections({"Gone": "of an older version"})
    assert "older version" not in merge(there, card("new"), "README.md")


def test_a_readme_without_marks_keeps_its_words_and_gets_ours_below() -> None:
    merged = merge("# Mine\n\nWritten by hand.\n", card("new"), "README.md")
    assert merged.index("Written by hand.") < merged.index("## Evaluation") < merged.index("## Use")
    assert "# Ours" not in merged and metadata(merged, "")["library_name"] == "actrec-zoo"


def test_words_within_a_marked_section_are_ours() -> None:
    there = card("old").replace("old", "old and a person's remark\n\n### More of it")
    assert "remark" not in merge(there, card("new"), "README.md")


def test_the_head_keeps_what_is_not_ours() -> None:
    theirs = "license: mit\nlibrary_name: other\ntags:\n- mine\nlanguage:\n- de\nmodel-index:\n- name: old\n"
    ours = "license: cc-by-4.0\nlibrary_name: actrec-zoo\ntags:\n- action-recognition\n- mine\n"
    head = metadata(merge(card("x", theirs), card("y", ours), "README.md"), "")
    assert head == {
        **{"license": "cc-by-4.0", "library_name": "actrec-zoo", "language": ["de"]},
        "tags": ["mine", "action-recognition"],
    }


def test_figures_of_old_weights_do_not_stay() -> None:
    indexed = "model-index:\n- name: a\n  results: []\n"
    assert "model-index" not in metadata(merge(card("x", indexed), card("y"), "README.md"), "")
    assert metadata(merge(card("x"), card("y", indexed), "README.md"), "")["model-index"] == [
        {"name": "a", "results": []}
    ]


BROKEN = ["a: [", "- a\n- b", "3", "a: !!python/object/apply:os.system [ls]", "? [1]\n: 2", "\t:", "a: &x [*x, *x"]


@pytest.mark.parametrize("head", BROKEN)
def test_a_head_that_is_no_yaml_is_named(head: str) -> None:
    with pytest.raises(HubError, match=r"the head of README\.md of org/name is no"):
        merge(f"---\n{head}\n---\n# x\n", card("new"), "README.md of org/name")


@pytest.mark.parametrize("text", ["", "---\n", "---\nno end", "no head", "---\n---\n", "\ufeff---\na: 1\n---\n"])
def test_what_has_no_head_has_none(text: str) -> None:
    assert metadata(text, "") == {}
    assert metadata(merge(text, card("new"), "README.md"), "")["library_name"] == "actrec-zoo"


def test_windows_line_ends_are_read() -> None:
    assert metadata("---\r\na: 1\r\n---\r\nwords\r\n", "") == {"a": 1}


def test_odd_tags_of_a_person_are_kept() -> None:
    there = card("old").replace("- action-recognition", "- {a: b}\n- [c]\n- action-recognition")
    assert metadata(merge(there, card("new"), "README.md"), "it")["tags"] == [{"a": "b"}, ["c"], "action-recognition"]
