import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { extractExamples, extractTracebacks } from "../../src/domain/examples.ts";
import { generateInputs } from "../../src/domain/generated-inputs.ts";
import { examplesModule, issueExamples } from "../../src/domain/issue-examples.ts";

const f = new Set(["f", "g"]);
const calls = (text: string, entries: ReadonlySet<string> | null = f) =>
  extractExamples(text, entries).calls.map((one) => [one.entry, one.case.args, one.case.expected]);

test("input and output of several right answers, or of nodes, are no examples: right programs would fail them", () => {
  const block = "Input: items = [1, 2]\nOutput: [2, 1]\n";
  expect(extractExamples(`${block}`, null).calls).toHaveLength(1);
  expect(extractExamples(`${block}\nReturn the answer in any order.`, null).calls).toEqual([]);
  expect(extractExamples(`def f(items: Optional[ListNode]):\n${block}`, null).calls).toEqual([]);
  const sample = "Sample Input\n3\n\nSample Output\n1 2\n";
  expect(extractExamples(sample, null).stdin).toHaveLength(1);
  expect(extractExamples(`If there are several, print any of them.\n${sample}`, null).stdin).toEqual([]);
});

describe("doctests of a class", () => {
  const system = (init: string) => `class System:
    ${init}
    def count(self, n):
        """
        >>> system.add(3)
        >>> system.count(1)
        2.5
        """
`;
  test("an object that the text leaves out is made where its constructor takes nothing", () => {
    const { calls, scripts } = extractExamples(system("def __init__(self):\n        pass"), null);
    expect(calls).toEqual([]);
    expect(scripts.map(({ source }) => source)).toEqual([
      "system = System()\nsystem.add(3)\nassert abs((system.count(1)) - (2.5)) < 1e-6",
    ]);
  });

  test("a script that uses a name that nobody made is left out: it would fail for everyone", () => {
    expect(extractExamples(system("def __init__(self, size):\n        pass"), null).scripts).toEqual([]);
  });
});

describe("examples in a text", () => {
  test.each<[string, string, unknown[]]>([
    ["a doctest", ">>> f([1, 2])\n[2, 1]\n\nmore", [["f", [[1, 2]], [2, 1]]]],
    [
      "two doctests in a row",
      ">>> f(1)\n2\n>>> f(2)\n3",
      [
        ["f", [1], 2],
        ["f", [2], 3],
      ],
    ],
    ["a doctest at the end of a docstring", '    >>> f("a")\n    \'b\'"""\n    return x', [["f", ["a"], "b"]]],
    ["a doctest that compares", ">>> f(1) == 2\nTrue", [["f", [1], 2]]],
    ["an equation", "For example f(3, 4) == 7.", [["f", [3, 4], 7]]],
    ["an assert", "assert f('x') == {'a': 1}", [["f", ["x"], { $dict: [["a", 1]] }]]],
    [
      "arrows",
      "f(1) -> 2\nf(2) => 3\nf(3) ➞ 4\nf(4) → 5",
      [
        ["f", [1], 2],
        ["f", [2], 3],
        ["f", [3], 4],
        ["f", [4], 5],
      ],
    ],
    [
      "words",
      "f(1) returns 'a' and f(2) should return 'b'.",
      [
        ["f", [1], "a"],
        ["f", [2], "b"],
      ],
    ],
    [
      "code in back quotes",
      "`f(1)` gives nothing, `f(1)` is **`2`**, `f(3)` returns `4`.",
      [
        ["f", [1], 2],
        ["f", [3], 4],
      ],
    ],
    ["a tuple, None and a negative number", "f(None) == (1, -2)", [["f", [null], { $tuple: [1, -2] }]]],
    ["LeetCode's blocks", "Input: nums = [1,2], k = 3\nOutput: true\nExplanation: so", [[null, [[1, 2], 3], true]]],
    ["the same example twice", "f(1) == 2\nf(1) == 2", [["f", [1], 2]]],
  ])("%s", (_, text, expected) => {
    expect(calls(text)).toEqual(expected);
  });

  test.each([
    ["prose that goes on", "f(2) returns 3 times the value"],
    ["an expression", "f(2) == 2 * n"],
    ["an attribute", "f(2) == 3.real"],
    ["a variable", "f(x) == 2"],
    ["another function", "h(2) == 3"],
    ["something around it", "len(f(2)) == 3"],
    ["a comparison", "f(2) >= 3"],
    ["an unclosed bracket", "f([1, 2 == 3"],
    ["no relation", "f(2) 3"],
    ["an output that is no value", ">>> f(2)\n<object at 0x1>"],
    ["an exception", ">>> f(2)\nTraceback (most recent call last):\nValueError: no"],
  ])("%s is no example", (_, text) => {
    expect(calls(text)).toEqual([]);
  });

  test("a doctest of several statements is a script whose outputs are asserted; one that touches the machine is left out", () => {
    const { scripts } = extractExamples(">>> c = Counter()\n>>> c.add(2)\n>>> c.total()\n2\n", new Set(["add"]));
    expect(scripts.map((one) => one.source)).toEqual(["c = Counter()\nc.add(2)\nassert (c.total()) == (2)"]);
    expect(extractExamples(">>> c = C()\n>>> c.load(open('x'))\n1\n", null).scripts).toEqual([]);
  });

  test("sample blocks of programs, with and without numbers and fences, up to the note", () => {
    const text =
      "Do it.\n\nSample Input 1\n\n2\n1 2\n\nSample Output 1\n\n3\n\n\nSample Input 2:\n```\n1\n5\n```\nSample Output 2:\n```\n5\n```\n\nNote\nThe first is 3.";
    expect(extractExamples(text, null).stdin.map((one) => one.case)).toEqual([
      { input: "2\n1 2\n", expected: "3" },
      { input: "1\n5\n", expected: "5" },
    ]);
    expect(extractExamples("Input Format\nA number.\nOutput Format\nA number.", null).stdin).toEqual([]);
  });

  test("any text gives a result", () => {
    fc.assert(fc.property(fc.string({ maxLength: 400 }), (text) => void extractExamples(text, null)));
    for (const text of ["f(".repeat(20_000), "f([".repeat(5_000), "f(1) == ".repeat(5_000), `f('${"\\".repeat(9_000)}`])
      extractExamples(text, null);
  });

  // Half a megabyte each: work that grows with the square of the text would not end within the test's time.
  test.each([
    ["headings of input", "Sample Input\n", ""],
    ["headings with blanks", `Sample Input${" ".repeat(5_000)}x\n`, ""],
    ["doctests", ">>> f(1)\n", ""],
    ["doctests of objects", ">>> c = C()\n>>> c.x()\n1\n\n", ""],
    ["names of objects", "... a.b; ", ">>> 1\n"],
    ["outputs with blanks", `>>> f(1)\n2${" ".repeat(100_000)}3\n`, ""],
    ["tracebacks", "Traceback (most recent call last):\n", ""],
    ["open calls", `${"f(".repeat(1_900)}\n`, ""],
    ["closed calls in calls", `${"f(".repeat(1_000)}${")".repeat(1_000)}\n`, ""],
    ["open lists", `${"f()==[".repeat(600)}\n`, ""],
    ["comments", `${"f(#".repeat(1_300)}\n`, ""],
    ["texts in texts", `${`f(["f([",`.repeat(400)}\n`, ""],
    ["open headers", "def f(", ""],
    ["LeetCode's heads", "Input: a = [\nOutput: 1\n", ""],
  ])("work grows with the text and no faster: %s", (_, piece, head) => {
    const text = head + piece.repeat(Math.ceil(500_000 / piece.length));
    extractExamples(text, null);
    extractTracebacks(text, f);
  });

  test("every example says where it stands", () => {
    const [one] = extractExamples("A\nB\nf(1) == 2", f).calls;
    expect(one).toMatchObject({ line: 3, text: "f(1) == 2", form: "equation" });
  });
});

describe("generated inputs", () => {
  const examples = [{ args: [[3, 1, 2], "abc"], kwargs: {} }];
  test("are the examples' own first, distinct, as many as asked for, and the same for the same seed", () => {
    const inputs = generateInputs(examples, null, "seed", 12);
    expect(inputs[0]).toEqual(examples[0]);
    expect(inputs).toHaveLength(12);
    expect(new Set(inputs.map((one) => JSON.stringify(one))).size).toBe(12);
    expect(generateInputs(examples, null, "seed", 12)).toEqual(inputs);
    expect(generateInputs(examples, null, "other", 12)).not.toEqual(inputs);
  });

  test("keep the shape of what they mutate", () => {
    for (const { args } of generateInputs(examples, null, "s", 16)) {
      expect(Array.isArray(args[0]) && (args[0] as unknown[]).every((item) => typeof item === "number")).toBe(true);
      expect(typeof args[1]).toBe("string");
    }
  });

  test("come from annotations where there are no examples, and from nothing else", () => {
    const typed = generateInputs(
      [],
      "def f(self, xs: List[int], name: str, pairs: Dict[str, float] = None) -> int",
      "s",
      8,
    );
    expect(typed).toHaveLength(8);
    for (const { args } of typed)
      expect([Array.isArray(args[0]), typeof args[1], args.length]).toEqual([true, "string", 2]);
    for (const signature of [null, "def f(x)", "def f(x: Widget)", "def f()"])
      expect(generateInputs([], signature, "s")).toEqual([]);
  });
});

describe("one odd example takes nothing from the others", () => {
  const FUNCTIONS = [{ path: "m.py", name: "f" }];
  const compiles = (module: string) =>
    execFileSync("python3", ["-c", "import ast,sys; print(len(ast.parse(sys.stdin.read()).body))"], { input: module });

  test("brackets nested deeper than Python reads them are no example, however deep", () => {
    for (const depth of [100, 150, 1_900, 30_000]) {
      const nested = `${"[".repeat(depth)}${"]".repeat(depth)}`;
      const found = issueExamples(`f(1) == 2\nf(${nested}) == 3\n\n>>> f(${nested})\n4\n`, FUNCTIONS);
      expect(found.map((one) => one.expected)).toEqual(["0x2"]);
      compiles(examplesModule(found));
    }
  });

  test.each(["lambda", "class", "None", "x²", "__proto__"])("%s is no keyword argument", (name) => {
    const found = issueExamples(`f(1) == 2\nf(${name}=1) == 3\n`, FUNCTIONS);
    expect(found.map((one) => one.expected)).toEqual(["0x2"]);
    compiles(examplesModule(found));
  });
});
