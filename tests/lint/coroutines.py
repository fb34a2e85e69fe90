#!/usr/bin/env python3
"""Finds coroutine code that g++ 12 miscompiles (CONVENTIONS, "Coroutines") or that outlives its captures.

    coroutines.py [FILE...]     findings as FILE:LINE: RULE: WHAT; exit 1 when there is one
    coroutines.py --self-test   the bait file is flagged exactly where it says, the clean file nowhere (TAP)
    coroutines.py --tap DIR     the tree's sources, one TAP case for each rule

A statement that is safe for a reason the lint cannot see says so: `// g++12: REASON` on the finding's line.
"""
import pathlib
import re
import sys

RULES = {
    "closure": "a closure that owns its captures in a co_await expression: name it first",
    "assertion": "co_await inside an assertion: Catch2 2 evaluates it three times there, name the result first",
    "braces": "a braced temporary in a co_await expression: name it first",
    "await-in-braces": "co_await inside a braced initialiser: name its value first",
    "await-in-capture": "co_await inside a capture list: name its value first",
    "conditional": "co_await in an arm of ?: : write if and else",
    "condition": "co_await in a condition, in a coroutine without a local variable: it resumes at a wrong place, name the result first",
    "default-argument": "a braced default argument of a coroutine: add an overload",
    "dangling-closure": "a coroutine lambda called at once outside co_await: its captures die before it does",
    "banned": "broken in Asio 1.22 (research: asio): ",
    "detached": "a detached coroutine in the library: start children in a task_group",
}
# Braces of these build values that are trivially copyable or have constructors: harmless.
HARMLESS = {"seconds", "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "duration", "time_point",
            "string", "string_view", "error_code", "optional", "byte"}
BANNED = {"awaitable_operators": "awaitable || and &&", "concurrent_channel": "experimental channels",
          "use_promise": "experimental::promise"}

TOKEN = re.compile(r"""
    //[^\n]*|/\*.*?\*/                                        # comments
  | (?:u8|[uUL])?R"(?P<d>[^()\\\s]{0,16})\(.*?\)(?P=d)"       # raw strings
  | (?:u8|[uUL])?"(?:\\.|[^"\\\n])*"
  | (?:u8|[uUL])?'(?:\\.|[^'\\\n])+'
  | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*                             # preprocessor
  | [A-Za-z_]\w* | \d(?:'?[\w.])*
  | ->|::|\.\.\.|<=>|[<>=!]=|&&|\|\||[-+*/%|&^]=|\+\+|--|<<
  | \S""", re.X | re.S | re.M)


class Token:
    __slots__ = ("text", "line", "group", "kind")

    def __init__(self, text, line, group=None):
        self.text, self.line, self.group, self.kind = text, line, group, None


def parse(source):
    """The source as a tree: a bracket is one token of its parent whose group holds what is inside."""
    top, line, at, allowed = [], 1, 0, set()
    stack = [top]
    for match in TOKEN.finditer(source):
        line += source.count("\n", at, match.start())
        at = match.start()
        text = match.group()
        if text.startswith("//"):
            if "g++12:" in text:
                allowed.add(line)
        elif text.startswith("/*") or text.lstrip().startswith("#"):
            continue
        elif text in "([{":
            bracket = Token(text, line, [])
            stack[-1].append(bracket)
            stack.append(bracket.group)
        elif text in ")]}":
            if len(stack) > 1:
                stack.pop()
        else:
            stack[-1].append(Token('""' if text[-1] in "\"'" else text, line))
    return top, allowed


def is_introducer(tokens, i):
    """A [ that begins a lambda, not a subscript and not an attribute."""
    token = tokens[i]
    if token.text != "[" or (token.group and token.group[0].text == "["):
        return False
    before = tokens[i - 1] if i else None
    if before is None:
        return True
    if before.text in ("return", "co_return", "co_await", "co_yield", "case", "else"):
        return True
    return not (re.match(r"\w", before.text) or before.text in ("(", "[", "{", ">", '""') and before.text != "{")


def lambda_of(tokens, i):
    """The index of the introducer of the lambda whose body is tokens[i], or None."""
    j = i - 1
    while j >= 0 and (tokens[j].text not in (";", "{", ",", "=", "?", "(", "[", "return") or tokens[j].text in "(["):
        if tokens[j].text == "[" and is_introducer(tokens, j):
            return j
        if tokens[j].text == "(":
            before = tokens[j - 1].text if j else ""
            if before not in ("[", ">", "noexcept", "requires", "decltype", "]", ")") and before != "(":
                return None
        j -= 1
    return None


def is_block(tokens, i, inside):
    """A { of statements or declarations; otherwise it is a braced initialiser."""
    if i == 0 or inside in ("(", "["):
        return i == 0 and inside == "{"
    before = tokens[i - 1].text
    if before in (";", "{", "else", "do", "try", "const", "noexcept", "mutable", "override", "final", ":", '""'):
        return True
    head = []
    for token in reversed(tokens[:i]):
        if token.text in (";", "{"):
            break
        head.append(token.text)
    if {"namespace", "class", "struct", "union", "enum", "extern"} & set(head):
        return "=" not in head and "return" not in head
    if before == "(":
        owner = tokens[i - 2].text if i > 1 else ""
        return owner not in ("=", ",", "return", "co_return", "co_await")
    return "->" in head and "=" not in head[:head.index("->")] and "(" in head[head.index("->"):]


def classify(tokens, inside="{"):
    for i, token in enumerate(tokens):
        if token.group is None:
            continue
        if token.text == "[" and token.group and token.group[0].text == "[":
            continue  # an attribute
        if token.text == "{":
            token.kind = "lambda" if lambda_of(tokens, i) is not None else "block" if is_block(tokens, i, inside) else "braces"
        elif token.text == "[":
            token.kind = "captures" if is_introducer(tokens, i) else "subscript"
        else:
            owner = tokens[i - 1].text if i else ""
            token.kind = "control" if owner in ("if", "while", "for", "switch", "constexpr") else "arguments"
        classify(token.group, token.text if token.kind != "braces" else "(")


def owns(captures):
    """Whether a capture list holds anything by value."""
    item = []
    for token in captures.group + [Token(",", 0)]:
        if token.text != ",":
            item.append(token.text)
            continue
        if item and item[0] != "&" and item != ["this"]:
            return True
        item = []
    return False


def flatten(tokens):
    """The tokens of one full expression, without the bodies of lambdas and blocks."""
    for i, token in enumerate(tokens):
        yield tokens, i, token
        if token.group is not None and token.kind not in ("lambda", "block", "control"):
            yield from flatten(token.group)


def awaits(tokens):
    return any(token.text == "co_await" for _, _, token in flatten(tokens))


def statements(tokens):
    """The full expressions of a sequence, each as a list of sibling tokens."""
    current = []
    for token in tokens:
        if token.text == ";" or token.kind == "block":
            yield current
            current = []
        elif token.kind == "control":
            yield current
            current = []
        else:
            current.append(token)
    yield current


def conditional_arms(tokens):
    """Whether some ?: at this level has co_await in an arm."""
    marks = [i for i, token in enumerate(tokens) if token.text == "?"]
    return bool(marks) and awaits([t for t in tokens[marks[0] + 1:] if t.kind not in ("lambda", "block")])


def coroutine_body(body):
    return any(t.text in ("co_await", "co_return", "co_yield") or t.group and t.kind != "lambda" and coroutine_body(t.group)
               for t in body)


def check_expression(tokens, report):
    waiting = awaits(tokens)
    if waiting:
        levels = {id(level): level for level, _, _ in flatten(tokens)}
        for level in levels.values():
            if conditional_arms(level):
                report("conditional", next(t.line for t in level if t.text == "?"))
    for level, i, token in flatten(tokens):
        if token.kind == "captures":
            if awaits(token.group):
                report("await-in-capture", token.line)
            elif waiting and owns(token):
                report("closure", token.line)
        elif token.kind == "braces" and waiting:
            if awaits(token.group):
                report("await-in-braces", token.line)
            elif not (i and level[i - 1].text in HARMLESS):
                report("braces", token.line)
        elif token.kind == "lambda" and i + 1 < len(level) and level[i + 1].text == "(" and coroutine_body(token.group):
            start = lambda_of(level, i)
            if level[start].group and not (start and level[start - 1].text == "co_await"):
                report("dangling-closure", token.line)


def check_defaults(tokens, report):
    """`awaitable<T> f(options o = {})` and `(options o = {}) -> awaitable<T>`."""
    for i, token in enumerate(tokens):
        if token.text != "(" or token.kind == "control":
            continue
        after = [t.text for t in tokens[i + 1:i + 8]]
        trailing = "->" in after and "awaitable" in after[after.index("->"):]
        head = []
        for t in reversed(tokens[:i]):
            if t.text in (";", "{", ",", "=", ":"):
                break
            head.append(t.text)
        leading = "awaitable" in head and head[0] not in ("awaitable", ">") and "return" not in head
        if not (trailing or leading):
            continue
        parameter = []
        for t in token.group + [Token(",", 0)]:
            if t.text != ",":
                parameter.append(t)
                continue
            texts = [p.text for p in parameter]
            if "=" in texts and any(p.text == "{" for p in parameter[texts.index("="):]):
                type_name = texts[:texts.index("=")]
                if "std" not in type_name and not HARMLESS & set(type_name):
                    report("default-argument", parameter[0].line)
            parameter = []


def is_function(tokens, i):
    """Whether the block tokens[i] is the body of a function."""
    for j in range(i - 1, -1, -1):
        if tokens[j].text == ";" or tokens[j].kind in ("block", "lambda"):
            return False
        if tokens[j].kind == "arguments":
            return bool(j) and tokens[j - 1].text != "catch"
    return False


NO_TYPE = {"return", "co_return", "co_await", "co_yield", "throw", "else", "do", "case", "goto", "new", "delete", "using", "typename",
           "if", "while", "for", "switch", "try", "catch", "constexpr", "not", "and", "or", "break", "continue", "default"}


def declares(tokens):
    """Whether there is a local variable in the body of a function: `auto x`, `T x`, `ns::t<U> const x`."""
    for expression in statements(tokens):
        texts = [t.text for t in expression if t.text != ":" or t is not expression[0]]
        if {"auto", "const", "static"} & set(texts[:2]):
            return True
        words = [bool(re.match(r"[A-Za-z_]", text)) for text in texts]
        for i in range(len(texts) - 1):
            if words[i] and words[i + 1] and texts[i] not in NO_TYPE:
                return True
        if len(texts) > 2 and words[0] and "<" in texts[1:4] and any(a in (">", "*", "&") and w for a, w in zip(texts[2:], words[3:])):
            return True
    return any(declares(t.group) for t in tokens if t.kind in ("block", "control"))


def check_conditions(body, report):
    """A coroutine's body: co_await in the condition of if, while or switch wants a local variable beside it."""
    def conditions(tokens):
        for i, token in enumerate(tokens):
            if token.kind == "control" and tokens[i - 1].text != "for" and awaits(token.group):
                yield token.line
            if token.kind in ("block", "control"):
                yield from conditions(token.group)

    lines = list(conditions(body))
    if lines and not declares(body):
        for line in lines:
            report("condition", line)


def check_level(tokens, report):
    for expression in statements(tokens):
        check_expression(expression, report)
    check_defaults(tokens, report)
    descend(tokens, report)


def descend(tokens, report):
    for i, token in enumerate(tokens):
        if token.group is None:
            continue
        if token.kind == "lambda" or token.kind == "block" and is_function(tokens, i):
            check_conditions(token.group, report)
        if token.kind in ("lambda", "block", "control"):
            check_level(token.group, report)
        else:
            check_defaults(token.group, report)
            descend(token.group, report)


def check_names(tokens, report, library, measured):
    if measured:  # a benchmark may show why they are banned
        return
    for i, token in enumerate(tokens):
        if token.text in BANNED:
            report("banned", token.line, BANNED[token.text])
        elif token.text == "channel" and [t.text for t in tokens[max(i - 2, 0):i]] == ["experimental", "::"]:
            report("banned", token.line, "experimental::channel")
        elif token.text == "resolver" and [t.text for t in tokens[max(i - 2, 0):i]] == ["tcp", "::"]:
            report("banned", token.line, "ip::tcp::resolver (a hidden thread)")
        elif token.text == "detached" and library:
            report("detached", token.line)
        elif token.text.startswith(("CHECK", "REQUIRE")) and i + 1 < len(tokens) and tokens[i + 1].group:
            if awaits(tokens[i + 1].group):
                report("assertion", token.line)
        if token.group is not None:
            check_names(token.group, report, library, measured)


def check(path):
    """{(line, rule): what} of one file."""
    found = {}
    tree, allowed = parse(path.read_text(errors="replace"))

    def report(rule, line, more=""):
        if line not in allowed:
            found[line, rule] = RULES[rule] + more

    classify(tree)
    check_level(tree, report)
    check_names(tree, report, library={"src", "include"} & set(path.parts) and "lint" not in path.parts,
                measured="bench" in path.parts)
    return found


def sources(top):
    for folder in ("include", "src", "tests", "examples", "bench"):
        for path in sorted((top / folder).rglob("*.[ch]pp")):
            if path.parent.name != "lint":
                yield path


def self_test():
    here, number, bad = pathlib.Path(__file__).parent, 0, 0
    for name in ("bait.cpp", "clean.cpp"):
        path = here / name
        found = check(path)
        lines = path.read_text().splitlines()
        wanted = {(i, rule) for i, line in enumerate(lines, 1) for rule in re.findall(r"bait: ([\w-]+)", line)}
        for line, rule in sorted(wanted | set(found)):
            number += 1
            fine = (line, rule) in wanted and (line, rule) in found
            bad += not fine
            why = "" if fine else ": missed" if (line, rule) in wanted else ": flagged for nothing"
            print(f"{'ok' if fine else 'not ok'} {number} {name}:{line} {rule}{why}")
        if not wanted:
            number += 1
            bad += bool(found)
            print(f"{'not ok' if found else 'ok'} {number} {name}: nothing in it is flagged")
    print(f"1..{number}")
    return bad > 0


def tap(top):
    found, count = {}, 0
    for path in sources(top):
        count += 1
        for (line, rule), what in check(path).items():
            found.setdefault(rule, []).append(f"{path.relative_to(top)}:{line}: {what}")
    for number, rule in enumerate(RULES, 1):
        print(f"{'not ok' if rule in found else 'ok'} {number} {rule}: none in {count} files")
        for line in found.get(rule, []):
            print(f"# {line}")
    print(f"1..{len(RULES)}")
    return bool(found) or not count


def main(arguments):
    if arguments[:1] == ["--self-test"]:
        return self_test()
    if arguments[:1] == ["--tap"]:
        return tap(pathlib.Path(arguments[1]))
    paths = [pathlib.Path(a) for a in arguments] or list(sources(pathlib.Path(__file__).resolve().parents[2]))
    bad = 0
    for path in paths:
        for (line, rule), what in sorted(check(path).items()):
            print(f"{path}:{line}: {rule}: {what}")
            bad += 1
    return bad > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
