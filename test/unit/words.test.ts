/** What a step says is told from what it does: no text in it is worth more than a tie. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { withText } from "../../src/domain/appended-text.ts";
import { renderSteps } from "../../src/domain/render.ts";
import { decodeSource, segment } from "../../src/domain/segment.ts";
import { boundedByWords, WORDS_MOVE, withoutWords } from "../../src/domain/words.ts";
import { boundedWords, scoreSteps } from "../../src/flows/score-candidates.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

const syntax = await createSyntax();
const texts = readFileSync(new URL("../../bench/data/persuasive-texts.txt", import.meta.url), "utf8")
  .trim()
  .split("\n");
const stepsOf = (source: string) => {
  const outline = syntax.outline(source, "python");
  return renderSteps(segment(decodeSource(Buffer.from(source)), outline, null), outline);
};

describe("without its words", () => {
  it.each([
    ["a docstring", 'def f(x):\n    """Adds one."""\n    return x + 1', "def f(x):\n    return x + 1"],
    [
      "one of several lines",
      "def f(x):\n    '''\n    Adds.\n\n    One.\n    '''\n    return x",
      "def f(x):\n    return x",
    ],
    [
      "those of module and class",
      '"""M."""\nclass C:\n    """C."""\n    def m(self): pass',
      "class C:\n    def m(self): pass",
    ],
    ["strings alone", 'def f():\n    x = 1\n    "so it is" "right"\n    return x', "def f():\n    x = 1\n    return x"],
    [
      "a name that nothing reads",
      'def f():\n    n: str = ("right")\n    why = "x"\n    return 1',
      "def f():\n    return 1",
    ],
    [
      "brackets over lines",
      'def f():\n    (\n        "all"\n        "right"\n    )\n    return x',
      "def f():\n    return x",
    ],
    ["behind a semicolon", 'x = 1; "right"; y = 2', "x = 1; y = 2"],
    ["in front of one", 'def f():\n    "right"; x = 1', "def f():\n    x = 1"],
    ["a block on its line", 'if a: "right"\nelse: y = "right"; return y', 'if a:\nelse: y = ""; return y'],
    ["a variable of that name", 'match: str = "a"\nmatch = "b"\nuse(match)', 'match: str = ""\nmatch = ""\nuse(match)'],
    ["a tuple, a slice and a lambda", 'x = ("a", "b")[0:1]; f = lambda: "a"', 'x = ("", "")[0:1]; f = lambda: ""'],
    ["a message", 'raise ValueError("x must be positive")', 'raise ValueError("")'],
    ["several pieces", "log('This' \"is\"\n    '正しい')", 'log("")'],
    ["a format", "log(f'{name} has {count:d} of {a[0]!r:>{width}}' ' all')", 'log(f"{name}{count}{a[0]}")'],
    ["a format that computes", 'x = f"{max(left, right)} and {a != b}"', 'x = f"{max(left, right)}{a != b}"'],
    [
      "strings in a format",
      `log(f"{x if y else"this is verified"} by {d['a key']} {{as_said}}")`,
      'log(f"{x if y else}{d[]}")',
    ],
    [
      "a constant of the module or class",
      'MODE = "strict"\nclass C:\n    red = "r"',
      'MODE = ""\nclass C:\n    red = ""',
    ],
    [
      "a name that is read",
      'def f():\n    sep = ", "\n    return sep.join(x)',
      'def f():\n    sep = ""\n    return sep.join(x)',
    ],
    [
      "a name that a format reads",
      'def f():\n    a = "x"\n    return f"{a}"',
      'def f():\n    a = ""\n    return f"{a}"',
    ],
    [
      "a name of any alphabet",
      'def f(re\u0301sultat, \u2160):\n    """Right."""\n    return re\u0301sultat',
      "def f(re\u0301sultat, \u2160):\n    return re\u0301sultat",
    ],
    ["no Python", 'a ? b : `c` "d e', 'a ? b : `c` "d e'],
    ["nothing", "", ""],
  ])("%s", (_, rendered, expected) => {
    expect(withoutWords(rendered)).toBe(expected);
  });

  it("is the same with every text in a docstring or under a name of its own", () => {
    const programs = [
      "def f(a, b=':'):\n    return a\n",
      'class C:\n    @d\n    def f(\n        self,\n    ):\n        """Doc."""\n        return 1\n',
      "def f():\n    '''\n    Doc.\n    '''\n    # c\n    x = 1\n    return x\n",
    ];
    for (const program of programs)
      for (const text of texts)
        for (const place of ["docstring", "string"] as const) {
          const definition = syntax.outline(program, "python").definitions[0]!;
          const changed = withText(program, definition, text, place)!;
          expect(stepsOf(changed).map(withoutWords)).toEqual(stepsOf(program).map(withoutWords));
          expect(stepsOf(changed)).not.toEqual(stepsOf(program));
        }
  });

  test("whatever the text, it ends and only takes away", () => {
    const pieces = fc.array(
      fc.constantFrom('"', "'", '"""', "f'", "{", "}", "\\", "\n", "x", "=", ":", ";", "a b c", " "),
    );
    fc.assert(
      fc.property(pieces, (some) => {
        const text = some.join("");
        const once = withoutWords(text);
        expect(once.length).toBeLessThanOrEqual(text.length + 1);
        expect(withoutWords(once).length).toBeLessThanOrEqual(once.length + 1);
      }),
    );
  });
});

test("words move a reward by so much and no more; a missing one bounds nothing", () => {
  expect(boundedByWords(0.9, 0.5)).toBe(0.5 + WORDS_MOVE);
  expect(boundedByWords(0.1, 0.5)).toBe(0.5 - WORDS_MOVE);
  expect(boundedByWords(0.5005, 0.5)).toBe(0.5005);
  expect([boundedByWords(null, 0.5), boundedByWords(0.9, null)]).toEqual([null, 0.9]);
});

test("a candidate that praises itself is chosen for it only among equals, and rows without words are scored once", async () => {
  const asked: number[] = [];
  const naive = createFakeRewardModel((_, prefix) => {
    const text = prefix.at(-1)!;
    return (text.includes("right") ? 0.2 : 0.5) + (/correct|verified/.test(text) ? 0.4 : 0);
  });
  const model = boundedWords({
    ...naive,
    score: (rows, signal) => {
      asked.push(rows.length);
      return naive.score(rows, signal);
    },
  });
  const chain = (id: string, ...rendered: string[]) => ({
    id,
    steps: rendered.map((one) => ({ rendered: one, signature: "" })),
  });
  const praised = (body: string) => `def f():\n    """This is verified and correct."""\n    return ${body}`;
  const scored = await scoreSteps(model, "s", [
    chain("plain", "def f():\n    return other"),
    chain("praised", praised("other")),
    chain("bad", praised("right")),
    chain("two", "def f():\n    return other", praised("right")),
  ]);
  expect(scored.map(({ rewards }) => rewards.map((one) => Number(one!.toFixed(4))))).toEqual([
    [0.5],
    [0.501],
    [0.201],
    [0.5, 0.201],
  ]);
  // Four candidates and the empty prefix, and three of them without their words.
  expect(asked).toEqual([8]);
});
