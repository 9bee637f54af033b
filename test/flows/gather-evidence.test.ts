/** Examples of a statement against real programs in the real sandbox. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createSandboxJudge } from "../../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { gatherEvidence, type ProblemText } from "../../src/flows/gather-evidence.ts";
import type { Judge, Syntax } from "../../src/ports.ts";

let judge: Awaited<ReturnType<typeof createSandboxJudge>>;
let syntax: Syntax;

beforeAll(async () => {
  judge = await createSandboxJudge({ weakestTier: 2 });
  syntax = await createSyntax();
});
afterAll(() => judge.dispose());

const examplesOf = async (prompt: string, program: string, more: Partial<ProblemText> = {}) =>
  (
    await gatherEvidence(
      { judge, syntax },
      { prompt, entryPoint: null, io: "call", preamble: "", ...more },
      [program],
      { slots: 1 },
    )
  )[0]!.examples;

test("a program of LeetCode's form has the imports that LeetCode gives it", async () => {
  const solution =
    "class Solution:\n    def largest(self, items: List[int]) -> int:\n        return max(Counter(items))\n";
  expect(await examplesOf("Example 1:\n\nInput: items = [3, 9]\nOutput: 9\n", solution)).toEqual({
    passed: 1,
    total: 1,
  });
});

test("examples of a helper that the statement shows are not asked of the function that is wanted", async () => {
  const prompt = `def helper(x):
    """ helper(1) == 5 """
    return 5


def wanted(x):
    """ wanted(2) == 4 """
`;
  const program = "def wanted(x):\n    return 2 * x\n";
  expect(await examplesOf(prompt, program, { entryPoint: "wanted" })).toEqual({ passed: 1, total: 1 });
});

test("doctests of a class run as they stand, on an object that is made where they leave it out", async () => {
  const prompt = `class Counter:
    def add(self, n):
        """
        >>> counter.add(3)
        >>> counter.total()
        3
        """
`;
  const program = `class Counter:
    def __init__(self):
        self.sum = 0

    def add(self, n):
        self.sum += n

    def total(self):
        return self.sum
`;
  expect(await examplesOf(prompt, program)).toEqual({ passed: 1, total: 1 });
  expect(await examplesOf(prompt, program.replace("+=", "-="))).toEqual({ passed: 0, total: 1 });
});

test("what a program prints is its output, also where it begins with the mark of one that failed", async () => {
  const prompt = "Sample Input\nhi\n\nSample Output\n!hi\n";
  const gathered = await gatherEvidence(
    { judge, syntax },
    { prompt, entryPoint: null, io: "stdin", preamble: "" },
    ["print('!' + input())\n", "print('!RuntimeError')\n", "raise RuntimeError\n"],
    { slots: 1 },
  );
  expect(gathered.map((one) => one.examples)).toEqual([
    { passed: 1, total: 1 },
    { passed: 0, total: 1 },
    { passed: 0, total: 1 },
  ]);
  expect(gathered.map((one) => one.outputs![0]!.startsWith("!"))).toEqual([false, false, true]);
});

test("where the machine failed the program is run once more, alone; what failed twice says nothing and is not kept", async () => {
  const asked: string[] = [];
  const broken = (failures: number): Pick<Judge, "run"> => ({
    run: async (inputs, candidate) => {
      asked.push(candidate.code);
      if (asked.length <= failures) return { outputs: [{ error: "INFRA", verdict: "INFRA" }], tier: 1 };
      return judge.run(inputs, candidate);
    },
  });
  const gather = async (failures: number) => {
    asked.length = 0;
    const ports = { judge: { ...judge, ...broken(failures) }, syntax };
    const problem = { prompt: "Sample Input\nhi\n\nSample Output\nhi\n", entryPoint: null, io: "stdin", preamble: "" };
    return (await gatherEvidence(ports, problem as ProblemText, ["print(input())\n"], { slots: 2 }))[0]!;
  };
  expect(await gather(1)).toEqual({ examples: { passed: 1, total: 1 }, outputs: ["hi\n"], settled: true });
  expect(asked).toHaveLength(2);
  expect(await gather(2)).toEqual({ examples: null, outputs: null, settled: false });
});
