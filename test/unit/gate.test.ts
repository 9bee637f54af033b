import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GateDecision } from "../../src/domain/model-version.ts";
import { type Contender, decide, type HeldOutRow } from "../../src/evaluation/gate.ts";
import { seeded } from "../../src/evaluation/statistics.ts";

const contender = (name: string, more: Partial<Contender> = {}): Contender => ({
  name,
  version: "1",
  sha256: name.padEnd(64, "0"),
  calibrators: new Map(),
  cpuSeconds: 1,
  ...more,
});
const facts = { validation: "f".repeat(64), at: "2026-01-01T00:00:00.000Z", parity: { ok: true, said: "proved" } };
const gate = (rows: readonly HeldOutRow[], more: Partial<Contender> = {}, parity = facts.parity): GateDecision =>
  decide(rows, contender("champion"), contender("challenger", more), { ...facts, parity });
const refusedBy = (decision: GateDecision) => decision.checks.filter((check) => !check.ok).map((check) => check.name);

/** Problems of one right and one wrong function; a model's score is `skill` times the truth and the rest noise. */
function world(
  problems: number,
  skill: { champion: number; challenger: number },
  more: { seed?: number; language?: string; offset?: number } = {},
): HeldOutRow[] {
  const random = seeded(more.seed ?? 1);
  const score = (label: 0 | 1, of: number, offset = 0) => {
    const value = 0.5 + (label - 0.5) * of + (random() - 0.5) * 0.6 + offset;
    return Math.min(1, Math.max(0, value));
  };
  return Array.from({ length: problems }, (_, problem) =>
    ([0, 1] as const).map((label) => ({
      problem: `${more.language ?? "python"}-${problem}`,
      language: more.language ?? "python",
      label,
      champion: score(label, skill.champion),
      challenger: score(label, skill.challenger, more.offset),
      steps: [],
    })),
  ).flat();
}

describe("promotion gate", () => {
  it("promotes a challenger that orders better inside problems, and shows both sets of numbers", () => {
    const decision = gate(world(120, { champion: 0.05, challenger: 0.5 }));
    expect(decision.verdict).toBe("promoted");
    const auc = decision.checks.find((check) => check.name === "within-problem AUC")!.figure!;
    expect(auc.challenger - auc.champion).toBeCloseTo(auc.difference.value, 10);
    expect(auc.difference.ci[0]).toBeGreaterThan(0);
    expect(auc.count).toBe(120);
  });

  it("never promotes a model against itself", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 60 }), (seed, problems) => {
        const rows = world(problems, { champion: 0.3, challenger: 0.3 }, { seed }).map((row) => ({
          ...row,
          challenger: row.champion,
        }));
        const decision = gate(rows);
        expect(decision.verdict).toBe("refused");
        for (const check of decision.checks) if (check.figure) expect(check.figure.difference.value).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("refuses the same gain with the champion and the challenger exchanged", () => {
    const rows = world(120, { champion: 0.5, challenger: 0.05 });
    expect(refusedBy(gate(rows))).toContain("within-problem AUC");
  });

  it("refuses on too few problems however good the challenger is", () => {
    expect(refusedBy(gate(world(19, { champion: 0, challenger: 1 })))).toEqual(["held-out problems"]);
  });

  it("refuses a gain over all that one language pays for", () => {
    const rows = [
      ...world(200, { champion: 0.05, challenger: 0.6 }),
      ...world(40, { champion: 0.6, challenger: 0.05 }, { language: "typescript", seed: 2 }),
    ];
    expect(refusedBy(gate(rows))).toContain("within-problem AUC, typescript");
    expect(refusedBy(gate(rows))).not.toContain("within-problem AUC");
    const few = [...rows.slice(0, 400), ...world(5, { champion: 0.6, challenger: 0.05 }, { language: "go", seed: 3 })];
    expect(refusedBy(gate(few))).not.toContain("within-problem AUC, go");
  });

  it("refuses better ranks with worse calibration", () => {
    const shifted = world(150, { champion: 0.05, challenger: 0.3 }, { offset: 0.4 });
    expect(refusedBy(gate(shifted))).toEqual(["expected calibration error"]);
  });

  it("refuses a bundle whose parity rows fail, and one that is too slow", () => {
    const rows = world(120, { champion: 0.05, challenger: 0.5 });
    expect(refusedBy(gate(rows, {}, { ok: false, said: "parity row 3" }))).toEqual(["bundle"]);
    expect(refusedBy(gate(rows, { cpuSeconds: 1.6 }))).toEqual(["time to score"]);
  });

  it("judges attribution where steps have verdicts of their own", () => {
    const rows = world(120, { champion: 0.05, challenger: 0.5 }).map((row) => ({
      ...row,
      steps: [
        { own: 1 as const, champion: 0.9, challenger: 0.1 },
        { own: 0 as const, champion: 0.1, challenger: 0.9 },
      ],
    }));
    expect(refusedBy(gate(rows))).toEqual(["step AUC"]);
  });

  it("gives the same decision for every order of the rows", () => {
    const rows = world(60, { champion: 0.2, challenger: 0.4 });
    expect(gate(rows.toReversed())).toEqual(gate(rows));
  });

  it("ranks what a model could not score last", () => {
    const rows = world(60, { champion: 0.2, challenger: 0.6 }).map((row) =>
      row.label === 1 ? { ...row, challenger: null } : row,
    );
    const auc = gate(rows).checks.find((check) => check.name === "within-problem AUC")!.figure!;
    expect(auc.challenger).toBe(0);
  });
});
