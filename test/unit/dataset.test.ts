import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CandidateSetProblem,
  emptyPrefixRows,
  fold,
  type HeldOutRow,
  heldOut,
  labelSharedPrefixes,
  labelSteps,
  languageOf,
  poolOf,
  splitOf,
  type TrainingRow,
} from "../../src/domain/dataset.ts";

const named = (...names: string[]) => names.map((name) => ({ name: `Box.${name}`, simpleName: name }));

describe("fold", () => {
  test("first four bytes of the hash, mod 100, agrees with a second way to compute it", () => {
    fc.assert(
      fc.property(fc.string(), (group) => {
        const hex = createHash("sha256").update(`funprm-split-1:${group}`).digest("hex").slice(0, 8);
        expect(fold(group)).toBe(Number.parseInt(hex, 16) % 100);
      }),
    );
  });

  test("the split of known groups never moves", () => {
    expect(
      ["HumanEval/0", "HumanEval/1", "classeval:ClassEval_26", "cf:1029/E"].map((group) => [
        fold(group),
        splitOf(group),
      ]),
    ).toMatchInlineSnapshot(`
      [
        [
          83,
          "validation",
        ],
        [
          49,
          "training",
        ],
        [
          92,
          "validation",
        ],
        [
          67,
          "training",
        ],
      ]
    `);
  });
});

describe("labelSteps", () => {
  test("no method verdicts: the verdict last, a broadcast of it before, trials 1", () => {
    expect(labelSteps(named("a", "b"), false, null, null)).toEqual({
      labels: [0, 0],
      own: [null, null],
      counts: [[0, 1], null],
      source: ["broadcast", "unit_test"],
    });
  });

  test("a judge's opinion is a noisy label of an earlier step, never of the last one, and gives way to what ran", () => {
    const labels = labelSteps(named("a", "b", "c"), true, null, null, [null, [3, 4]], [0.3, 0.4, 0.1]);
    expect(labels).toEqual({
      labels: [0.3, 0.75, 1],
      own: [null, null, null],
      counts: [null, [3, 4], null],
      source: ["judge", "monte_carlo", "unit_test"],
    });
    const known = labelSteps(named("a", "b"), false, { a: true, b: false }, "Box", [], [0.3, 0.4]);
    expect(known.source).not.toContain("judge");
  });

  test("no opinion gets into a meta or validation set, by type and in fact", () => {
    const row: TrainingRow = {
      id: "a",
      problem: "p",
      group: "g",
      date: null,
      language: "python",
      pool: null,
      prompt: "",
      completions: ["a", "b"],
      ...labelSteps(named("a", "b"), true, null, null, [], [0.3]),
      weight: 1,
      renderVersion: "v1",
    };
    expect(row.source).toEqual(["judge", "unit_test"]);
    const held: HeldOutRow = heldOut(row);
    expect([held.source, held.labels]).toEqual([
      [null, "unit_test"],
      [null, 1],
    ]);
    // @ts-expect-error a row with opinions is no row of a held-out set
    const wrong: HeldOutRow = row;
    expect(wrong.source).toContain("judge");
  });

  test("known answer: own (1,0,1,1) gives values (1,0,0,0)", () => {
    const labels = labelSteps(named("a", "b", "c", "d"), false, { a: true, b: false, c: true, d: true }, "Box");
    expect(labels).toEqual({
      labels: [1, 0, 0, 0],
      own: [1, 0, 1, 1],
      counts: [null, null, null, null],
      source: ["min_rule", "min_rule", "min_rule", "unit_test"],
    });
  });

  test("a constructor is vouched for by passing methods after it, not before it", () => {
    const labels = labelSteps(named("__init__", "a", "b"), false, { a: true, b: false }, "Box");
    expect(labels.labels).toEqual([null, 1, 0]);
    expect(labels.own).toEqual([null, 1, 0]);
  });

  test("a helper without a verdict leaves the value unknown until something fails", () => {
    const labels = labelSteps(
      named("a", "_helper", "b", "c", "d"),
      false,
      { a: true, b: true, c: false, d: true },
      "Box",
    );
    expect(labels.labels).toEqual([1, null, null, 0, 0]);
    expect(labels.source).toEqual(["min_rule", null, null, "min_rule", "unit_test"]);
  });

  test("a passing program: every prefix is completable", () => {
    expect(labelSteps(named("__init__", "_h", "a"), true, { a: true }, "Box").labels).toEqual([1, 1, 1]);
  });

  test("verdicts belong to the class that was tested: a method of the same name elsewhere has none", () => {
    const steps = [
      { name: "Other.a", simpleName: "a" },
      { name: "Box.a", simpleName: "a" },
    ];
    expect(labelSteps(steps, false, { a: false }, "Box").own).toEqual([null, 0]);
  });

  test("a method named like a property of Object is not a verdict", () => {
    expect(labelSteps(named("toString", "a"), true, { a: true }, "Box").own).toEqual([null, 1]);
  });

  test("a crashed module (all verdicts null) falls back to the broadcast", () => {
    expect(labelSteps(named("a", "b"), false, { a: null, b: null }, "Box").source).toEqual(["broadcast", "unit_test"]);
  });
});

describe("pools", () => {
  const problem = (
    set: string,
    candidates: Partial<CandidateSetProblem["candidates"][number]>[],
  ): CandidateSetProblem => ({
    set,
    problem_id: "p",
    group: "g",
    prompt: "",
    candidates: candidates.map((candidate, index) => ({
      id: `${index}`,
      model: "m",
      code: "",
      passed: true,
      ...candidate,
    })),
  });

  test("pass rate of the empty prefix counts samples, not programs, in every pool that drew the program", () => {
    const rows = emptyPrefixRows(
      problem("s", [
        { passed: true, dups: 2 },
        { passed: false },
        { passed: false, from: { m: 3, "n|cot": 1 } },
        { passed: null, dups: 9 },
      ]),
      { prompt: "P", renderVersion: "v1" },
    );
    expect(rows.map((row) => [row.pool, row.counts, row.labels, row.completions])).toEqual([
      ["m", [[3, 7]], [3 / 7], [""]],
      ["n|cot", [[0, 1]], [0], [""]],
    ]);
  });

  test("constructed pairs are one pool, whoever is named as their model", () => {
    expect(poolOf("debugbench_python", { model: "human-accepted", variant: null })).toBe("constructed");
    expect(poolOf("codeforces_guni", { model: "m", variant: "original" })).toBe("m|original");
  });

  test("language by the row, else by the set's name", () => {
    expect(
      ["debugbench_java", "canaicode_javascript", "humanevalfix_js", "humanevalfix_cpp", "mbpp_multi"].map((set) =>
        languageOf({ set }),
      ),
    ).toEqual(["java", "javascript", "javascript", "cpp", "python"]);
    expect(languageOf({ set: "x_java", language: "python" })).toBe("python");
  });
});

describe("labelSharedPrefixes", () => {
  const row = (group: string, completions: string[], passed: boolean, pool = "m"): TrainingRow => ({
    id: "",
    problem: "p",
    group,
    date: null,
    language: "python",
    pool,
    prompt: "",
    completions,
    ...labelSteps(
      completions.map((name) => ({ name, simpleName: name })),
      passed,
      null,
      null,
    ),
    weight: 1,
    renderVersion: "v1",
  });

  test("verdicts of four programs that begin alike label the prefix; three, another group and injected bugs do not", () => {
    const rows = [
      row("g", ["a", "b", "c"], true),
      row("g", ["a", "b", "d"], false),
      row("g", ["a", "b"], false),
      row("g", ["a", "e"], true),
      row("g", ["a", "b", "c"], false, "constructed"),
      row("h", ["a", "b", "c"], true),
      // The same text cut elsewhere is another prefix.
      row("g", ["ab", "c"], true),
    ];
    expect(labelSharedPrefixes(rows)).toEqual({ two: 2, four: 1 });
    const [first, second, third, fourth, bug, other, cut] = rows;
    for (const one of [first!, second!, third!, fourth!])
      expect([one.labels[0], one.counts[0], one.source[0]]).toEqual([0.5, [2, 4], "monte_carlo"]);
    expect([first!.source[1], second!.source[1]]).toEqual(["broadcast", "broadcast"]);
    for (const one of [bug!, other!, cut!]) expect(one.source[0]).toBe("broadcast");
    for (const one of rows) expect([one.source.at(-1), one.counts.at(-1)]).toEqual(["unit_test", null]);
  });
});
