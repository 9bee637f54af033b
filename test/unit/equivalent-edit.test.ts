/** What a model is taught to take for the same function is the same function: Python runs both alike. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { equivalentEdits } from "../../src/domain/equivalent-edit.ts";

const syntax = await createSyntax();

/** Both versions on the same arguments: every result and exception that the first gives, the second gives. */
const RUN = `
import copy, itertools, json, sys
VALUES = [0, 1, 2, -1, 3, None, "", "a", "ab", [], [1], [2, 1], {}, {"a": 1}]
def results(text):
    space = {}
    exec(compile(text, "m", "exec"), space)
    made = []
    for arguments in itertools.product(VALUES, repeat=2):
        try:
            value = space["f"](*copy.deepcopy(arguments))
            made.append(repr(list(value) if hasattr(value, "__next__") else value))
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
  for (const module of ["textwrap", "shlex", "difflib", "configparser", "shutil"]) {
    const source = readFileSync(`/usr/lib/python3.11/${module}.py`, "utf8");
    const { definitions } = syntax.outline(source, "python");
    for (const [at, definition] of definitions.entries())
      for (const { kind, text } of equivalentEdits(source, definition).slice(0, 4)) {
        const after = syntax.outline(text, "python");
        const slices = (of: string, all: typeof definitions) =>
          all.map((one, index) => (index === at ? "" : of.slice(one.span.start, one.span.end)));
        expect([module, definition.name, kind, after.parsed]).toEqual([module, definition.name, kind, true]);
        expect(slices(text, after.definitions)).toEqual(slices(source, definitions));
        count += 1;
      }
  }
  expect(count).toBeGreaterThan(250);
});

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
