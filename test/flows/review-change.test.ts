import { beforeAll, describe, expect, test } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import type { ReviewEvidence } from "../../src/domain/review.ts";
import type { ReviewedFile } from "../../src/domain/review-scope.ts";
import { sarif } from "../../src/domain/sarif.ts";
import { reviewChange } from "../../src/flows/review-change.ts";
import type { Syntax } from "../../src/ports.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

let syntax: Syntax;
beforeAll(async () => {
  syntax = await createSyntax();
});

const names = ["solve", "read", "parse", "clean", "emit"];
const program = (bugIn: string | null, extra = "") =>
  names
    .map(
      (name, k) =>
        `def ${name}(x):\n    """Step ${k}."""\n    return ${names[k + 1] ?? "str"}(x)${name === bugIn ? " - BUG" : extra}\n`,
    )
    .join("\n");
const file = (path: string, before: string | null, after: string | null): ReviewedFile => ({
  path,
  previousPath: null,
  before: before === null ? null : Buffer.from(before),
  after: after === null ? null : Buffer.from(after),
  unreadable: null,
});
/** Sees a bug in the text itself, half of what it gives depends on the prompt. */
const model = createFakeRewardModel((prompt, prefix) => {
  const base = prompt.includes("Context") ? 0.8 : 0.7;
  return prefix.at(-1)!.includes("BUG") ? base / 4 : base;
});
const review = (files: ReviewedFile[], calibration = null) =>
  reviewChange({ syntax, model }, { statement: "Make it work.", files, ignored: () => false, calibration });

describe("review of a change", () => {
  test("a bug in the first of five chained functions is a finding on it and on none of the others", async () => {
    const report = await review([file("m.py", program(null), program("solve", " or x"))]);
    expect(report.functions.map((one) => [one.name, one.change, one.finding])).toEqual([
      ["solve", "modified", true],
      ...["read", "parse", "clean", "emit"].map((name) => [name, "modified", false]),
    ]);
    expect(report.functions[0]).toMatchObject({
      rank: 1,
      calibration: "uncalibrated",
      estimate: null,
      evidence: [{ kind: "before-after", text: "attribution 1.00 on base, 0.25 here" }],
    });
  });

  test("what a change did orders functions, not how low they stood before it", async () => {
    const rewards: Record<string, number> = { poor: 0.1, better: 0.3, worse: 0.4, fine: 0.9, fresh: 0.56, gone: 0.2 };
    const graded = createFakeRewardModel((_, prefix) => {
      const text = prefix.at(-1)!;
      const name = /def (\w+)/.exec(text)?.[1];
      return name === undefined
        ? 0.7
        : text.includes("was") && name === "better"
          ? 0.15
          : text.includes("was") && name === "worse"
            ? 0.9
            : rewards[name]!;
    });
    const of = (name: string, body: string) => `def ${name}(x):\n    return ${body}\n`;
    const touched = ["poor", "better", "worse", "fine"];
    const before = [...touched, "gone"].map((name) => of(name, "x.was")).join("\n");
    const after = [...touched, "fresh"].map((name) => of(name, "x.now")).join("\n");
    const report = await reviewChange(
      { syntax, model: graded },
      {
        statement: "Order.",
        files: [file("m.py", before, after), file("n.py", null, of("gone", "x.was"))],
        ignored: () => false,
        calibration: null,
      },
    );
    // worse .4/.9, fresh .56/.7 (nothing stood there), poor and fine as they were, gone has moved, better .3/.15
    expect(report.functions.map((one) => [one.name, one.rank])).toEqual([
      ["worse", 1],
      ["fresh", 2],
      ["poor", 3],
      ["fine", 3],
      ["gone", 3],
      ["better", 6],
    ]);
    expect(report.functions.filter((one) => one.finding).map((one) => one.name)).toEqual(["worse"]);
  });

  test("a function that was as low on base is no finding, nor one that only moved, nor a new one", async () => {
    expect(
      (await review([file("m.py", program("solve"), program("solve", " or x"))])).functions.some((one) => one.finding),
    ).toBe(false);
    const moved = await review([file("m.py", program("solve"), null), file("n.py", null, program("solve"))]);
    expect(moved.functions.map((one) => [one.change, one.finding])).toEqual(names.map(() => ["moved", false]));
    expect((await review([file("n.py", null, program("solve"))])).functions.some((one) => one.finding)).toBe(false);
  });

  test("calibrated on the repository: under the threshold and with evidence, also a new function; a benchmark decides nothing", async () => {
    const fresh = file("n.py", null, program("solve"));
    const calibration = (state: "repository" | "benchmark") => () => ({
      state,
      version: 1,
      threshold: 0.4,
      estimate: (attribution: number) => ({
        probability: Math.min(1, attribution),
        labels: 100,
        bucket: { low: 0.2, high: 0.4, correct: 1, total: 4, wilson: [0, 1] as [number, number] },
      }),
    });
    const found = async (state: "repository" | "benchmark", evidence: ReviewEvidence[], threshold = 0.4) => {
      const report = await reviewChange(
        { syntax, model },
        {
          statement: "Make it work.",
          files: [fresh],
          ignored: () => false,
          calibration: () => ({ ...calibration(state)(), threshold }),
          evidence: () => evidence,
        },
      );
      return report.functions.filter((one) => one.finding).map((one) => one.name);
    };
    const tests: ReviewEvidence[] = [{ kind: "tests", text: "test_solve fails here and executed it" }];
    expect(await found("repository", tests)).toEqual(["solve"]);
    expect(await found("repository", [])).toEqual([]);
    expect(await found("repository", tests, 0.2)).toEqual([]);
    expect(await found("benchmark", tests)).toEqual([]);
  });

  test("neither the order nor the names of files change a reward", async () => {
    const files = names.map((name) =>
      file(`${name}.py`, null, `def ${name}(x):\n    return ${names[names.indexOf(name) + 1] ?? "str"}(x)\n`),
    );
    const rewards = async (list: ReviewedFile[]) =>
      Object.fromEntries(
        (
          await reviewChange(
            { syntax, model: createFakeRewardModel() },
            { statement: "", files: list, ignored: () => false, calibration: null },
          )
        ).functions.map((one) => [one.name, one.reward]),
      );
    const first = await rewards(files);
    expect(await rewards(files.toReversed())).toEqual(first);
    expect(await rewards(files.map((one) => ({ ...one, path: `x/${one.path}` })))).toEqual(first);
  });

  test("nothing in scope is a review without findings; what could not be scored is in the ledger", async () => {
    expect(await review([file("README.md", "a", "b")])).toMatchObject({
      functions: [],
      ledger: "scored 0/0",
      otherFiles: 1,
    });
    const report = await review([file("m.py", null, `def f():\n    return "${"word ".repeat(600)}"\n`)]);
    expect(report.ledger).toBe("scored 0/1; 1 minified");
    const long = await review([file("m.py", null, `def f():\n${"    a = 1\n".repeat(200)}`)]);
    expect(long.ledger).toBe("scored 0/1; 1 too_long");
    expect(long.functions[0]).toMatchObject({ reward: null, reason: "too_long", rank: null, finding: false });
  });

  test("SARIF holds the findings with their place and fingerprint, and what was not scored as a note", async () => {
    const report = await review([file("a b/m.py", program(null), program("solve")), file("x.go", null, "")]);
    const { runs } = sarif(report, "1.2.3") as {
      runs: { results: unknown[]; invocations: { toolExecutionNotifications: unknown[] }[] }[];
    };
    expect(runs[0]!.results).toMatchObject([
      {
        ruleId: "low-reward",
        locations: [
          { physicalLocation: { artifactLocation: { uri: "a%20b/m.py" }, region: { startLine: 1, endLine: 3 } } },
        ],
      },
    ]);
    expect(runs[0]!.invocations[0]!.toolExecutionNotifications).toHaveLength(1);
  });
});
