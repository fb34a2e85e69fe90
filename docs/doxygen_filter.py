#!/usr/bin/env python3
"""doxygen_filter.py HEADER: the header as Doxygen 1.9 understands it, on stdout.

- A comment stands for all members that are declared in one statement; Doxygen takes it for one of them. So each gets
  a statement of its own here, with the same comment.
- `@word` in a text is no command.
- The scope of a specialisation of std:: is unknown to it.
"""
import re
import sys

NAME = r"\w+(?:\{[^{}]*\}|\s*=\s*[^,;{}()]+)?"
SEVERAL = re.compile(rf"(\s+)([\w:]+(?:<[^;()]*>)?(?:\s+const)?\s+)({NAME}(?:,\s*{NAME})+);\s*(///<.*)?", re.S)


def statements(lines):
    """(comment lines, statement, comment behind it): a member's declaration may go over several lines."""
    above, inside = [], []
    for line in lines:
        if not inside and line.lstrip().startswith("///"):
            above.append(line)
            continue
        inside.append(line)
        code = re.sub(r"\s*///?.*", "", line).rstrip()
        if len(inside) > 3 or code.endswith((";", "{", "}", ":", ")")) or not code:
            yield above, inside
            above, inside = [], []
    yield above, inside


def understood(text):
    for above, inside in statements(text.splitlines()):
        found = SEVERAL.fullmatch("\n".join(inside))
        if not found or found[2].split()[0] in ("return", "using", "friend", "case"):
            yield from above + inside
            continue
        indent, kind, names, behind = found.groups()
        for name in re.split(r",\s*(?![^{]*\})", names):
            yield from above
            yield f"{indent}{kind}{name}; {behind or ''}"


def main(path, *bare):
    """With --bare before it: without the comments, for the test that they are missed."""
    if bare:
        path = bare[0]
    text = "\n".join(understood(open(path, encoding="utf-8").read()))
    if bare:
        text = re.sub(r"///.*", "", text)
    text = re.sub(r"(?m)^template <>\nstruct std::is_error_code_enum.*", "", text)
    print(re.sub(r"@(?=(revoked|cert-authority)\b)", r"\\@", text))


if __name__ == "__main__":
    main(*sys.argv[1:])
