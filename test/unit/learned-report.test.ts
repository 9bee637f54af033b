import { describe, expect, it } from "vitest";
import type { GateDecision } from "../../src/domain/model-version.ts";
import { type LearnedReport, learnedComment, learnedPage } from "../../src/evaluation/learned-report.ts";

const figure = {
  champion: 0.512,
  challenger: 0.634,
  difference: { value: 0.122, ci: [0.04, 0.2] as [number, number] },
  count: 31,
};
const decision: GateDecision = {
  verdict: "promoted",
  champion: { name: "m", version: "1", sha256: "a".repeat(64) },
  challenger: { name: "m", version: "1+1", sha256: "b".repeat(64) },
  checks: [{ name: "within-problem AUC", ok: true, said: "must rise", figure }],
  rows: 120,
  problems: 31,
  validation: "c".repeat(64),
  at: "2026-03-01T00:00:00.000Z",
};
const HOSTILE = '@team <img src=x onerror=alert(1)> [x](https://evil.example) `code` | **bold** "';
const report: LearnedReport = {
  from: "2026-02-01T00:00:00.000Z",
  to: "2026-03-03T00:00:00.000Z",
  active: { name: "m", version: "1+1", sha256: "b".repeat(64) },
  pullRequests: 40,
  labels: { "A+": 12, "A-": 3, "B+": 20, "B-": 4, C: 9 },
  people: 5,
  decisions: [decision],
  compared: 30,
  mistakes: [
    {
      repository: HOSTILE,
      pullRequest: 7,
      function: `a.py:${HOSTILE}`,
      grade: "B-",
      reason: HOSTILE,
      reward: 0.91,
      modelVersion: "m@1",
    },
  ],
  cost: { runs: 8, opened: 6, accepted: 4, usd: 2 },
  precision: [
    { muted: true, correct: 10, adjudicated: 40, precision: 0.25, wilson: [0.14, 0.4], repository: "o/r", wanted: 0.6 },
  ],
  known: [],
};

describe("what it learned", () => {
  it("says labels, before and after with intervals, mistakes, cost an accepted pull request and the mute", () => {
    const text = learnedComment(report, null);
    expect(text).toContain("40 pull requests gave 39 labels of grade A or B from 5 people");
    expect(text).toContain("0.512 → 0.634, +0.122 [+0.040, +0.200], n = 31");
    expect(text).toContain("$2.00, $0.50 an accepted pull request");
    expect(text).toContain("inline comments are muted");
    expect(text).toContain("reward 0.91, B−");
    const page = learnedPage(report);
    for (const shown of ["0.512 → 0.634", "$0.50 an accepted", "inline comments are muted", "<svg"])
      expect(page).toContain(shown);
  });

  it("lets no text of people or programs become a mention, a link, an image or markup", () => {
    const text = learnedComment(report, null);
    const outsideCode = text.replace(/(`+)[\s\S]*?\1(?!`)/g, "");
    expect(outsideCode).not.toMatch(/@team|<img|\]\(https|:\/\/evil/);
    const page = learnedPage(report);
    expect(page).not.toContain("<img");
    expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)[^&]*"/);
    expect(page).toContain("&lt;img src=x onerror=alert(1)&gt;");
  });

  it("stays within what GitHub takes, and says what it left out", () => {
    const long = { ...report, decisions: Array.from({ length: 600 }, () => decision) };
    const text = learnedComment(long, null);
    expect(text.length).toBeLessThan(65_000);
    expect(text).toContain("Left out for length: before and after");
    expect(text).toContain("**Cost**");
  });

  it("shows no number where there is none", () => {
    const empty = {
      ...report,
      decisions: [],
      mistakes: [],
      precision: [],
      cost: { runs: 0, opened: 0, accepted: 0, usd: null },
    };
    expect(learnedComment(empty, null)).toContain("the price of the model is not known");
    expect(learnedPage(empty)).toContain("No challenger was trained.");
    expect(`${learnedComment(empty, null)}${learnedPage(empty)}`).not.toMatch(/NaN|undefined|Infinity/);
  });
});
