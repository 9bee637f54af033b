/** What a model is taught to take for the same function is the same function: Python runs both alike. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { type EquivalentEdit, equivalentEdits } from "../../src/domain/equivalent-edit.ts";

const syntax = await createSyntax();

/** Both versions on the same arguments: every result and exception that the first gives, the second gives. */
const RUN = `
import copy, itertools, json, sys
class Box(list):
    def __iadd__(self, other):
        self.append(other)
        return self
    def __add__(self, other):
        return Box([*self, other])
    def __eq__(self, other):
        return self is other or list(self) == other
    __hash__ = None
VALUES = [Box(), Box([1]), 0, 1, 2, -1, 3, None, "", "a", "ab", [], [1], [2, 1], {}, {"a": 1}]
def results(text):
    space = {}
    exec(compile(text, "m", "exec"), space)
    made = []
    for arguments in itertools.product(VALUES, repeat=2):
        try:
            given = copy.deepcopy(arguments)
            value = space["f"](*given)
            # What was changed in place counts as well.
            made.append(repr([list(value) if hasattr(value, "__next__") else value, given]))
        except Exception as error:
            # A name in a message may be another's now.
            made.append(type(error).__name__)
    return made
print(json.dumps([[e["kind"], e["after"]] for e in json.load(sys.stdin) if results(e["before"]) != results(e["after"])]))
`;

const FUNCTIONS = [
  "def f(a, b):\n    total = 0\n    for one in b:\n        if one < a:\n            total += 1\n        else:\n            total -= 2\n    return total\n",
  'def f(a, b):\n    """Doc: if a:\n    else:\n    """\n    if a not in b:\n        result = [a]\n    elif a != 1:\n        result = [b,\n          a]\n    else:\n        result = dict(a=a,\n            b=b)\n    return result\n',
  "def f(a, b):\n    if a is not None:\n        if a == b:\n            return 1\n        else:\n            # neither\n            left = b\n    else:\n        left = a\n\n    while a >= 2:\n        a -= 1\n        yield a\n    yield left",
  "def f(a, b):\n    if a and (b or a):\n        x = a\n    else:\n        x = b\n    y = x\n    return (x,\n        y)\n",
  "def f(a, b):\n    a += 1\n    n = 0\n    n += 1\n    return n\n",
  "def f(a, b):\n    y = 0\n    if a:\n        x = 5\n    else:\n        x = 1\n#        x = 3\n        y = 2\n    return x + y\n",
  "def f(a, b):\n        # further in\n    for x in a or b:\n        b = x\n    return b\n",
  "def f(a, b):\n    import os\n    os = os.path\n    return os.join(a, b)\n",
  "def f(a, b):\n    return a; b()\n",
  "def f(a, b): x = [\n  a,\n  b]; return x\n",
  "def f(a, b):\n    if a:\n        pass\n    elif b:\n        return 2\n    else:\n        return 3\n",
];

it("gives the results and exceptions of the original", () => {
  const edits = FUNCTIONS.flatMap((before) =>
    equivalentEdits(before, syntax.outline(before, "python").definitions[0]!).map(({ kind, text }) => ({
      kind,
      before,
      after: text,
    })),
  );
  const kinds = ["rename", "mirror", "negation", "branches", "assignment", "brackets", "named", "pass", "return"];
  expect(new Set(edits.map((one) => one.kind))).toEqual(new Set(kinds));
  expect(edits.length).toBeGreaterThan(25);
  expect(edits.every((one) => one.after !== one.before)).toBe(true);
  const ran = spawnSync("/usr/bin/python3", ["-I", "-c", RUN], { input: JSON.stringify(edits), encoding: "utf8" });
  expect(ran.stderr).toBe("");
  expect(JSON.parse(ran.stdout)).toEqual([]);
});

it("parses, keeps the functions and touches one of them, all over the standard library", () => {
  let count = 0;
  const whole: string[] = [];
  for (const module of ["textwrap", "shlex", "difflib", "configparser", "shutil"]) {
    const source = readFileSync(`/usr/lib/python3.11/${module}.py`, "utf8");
    const { definitions } = syntax.outline(source, "python");
    for (const [at, definition] of definitions.entries())
      for (const { kind, text } of oneOfEachKind(equivalentEdits(source, definition))) {
        const after = syntax.outline(text, "python");
        const slices = (of: string, all: typeof definitions) =>
          all.map((one, index) => (index === at ? "" : of.slice(one.span.start, one.span.end)));
        expect([module, definition.name, kind, after.parsed]).toEqual([module, definition.name, kind, true]);
        expect(slices(text, after.definitions)).toEqual(slices(source, definitions));
        whole.push(text);
        count += 1;
      }
  }
  // The parser forgives an indentation that Python does not.
  const compiled = spawnSync(
    "/usr/bin/python3",
    ["-I", "-W", "ignore", "-c", 'import json, sys\nfor t in json.load(sys.stdin): compile(t, "m", "exec")'],
    { input: JSON.stringify(whole.filter((_, index) => index % 8 === 0)), encoding: "utf8" },
  );
  expect(compiled.stderr).toBe("");
  expect(count).toBeGreaterThan(250);
});

const oneOfEachKind = (edits: EquivalentEdit[]) =>
  [...Map.groupBy(edits, (one) => one.kind).values()].map((same) => same[0]!);

it("leaves alone what it cannot read by lines", () => {
  const sources = [
    'def f(a):\n    x = """\n    if a:\n    """\n    return x\n',
    "def f(a):\n    x = a + \\\n        1\n    return x\n",
    "async def f(a):\n    yield a\n",
  ];
  for (const source of sources)
    expect(equivalentEdits(source, syntax.outline(source, "python").definitions[0]!).map((one) => one.kind)).toEqual(
      [],
    );
});
