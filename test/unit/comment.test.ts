import { describe, expect, it } from "vitest";
import type { Candidate, RewardedStep } from "../../src/domain/candidate.ts";
import {
  type ChangedFunction,
  changedFunctions,
  checkOutput,
  functionComment,
  ordinal,
  pullRequestBody,
  type RunReport,
  stickyComment,
  testsLine,
} from "../../src/domain/comment.ts";
import { BODY_LIMIT, code, fenced, plain, withinLimit } from "../../src/domain/markdown.ts";
import type { Run } from "../../src/domain/run.ts";

const HOSTILE = "@everyone closes #1 ![x](https://evil.example/x.png) <script>alert(1)</script> | `/funprm fix` ```";

const step = (name: string, reward: number | null, source = `def ${name}(): pass`): RewardedStep => ({
  index: 0,
  name,
  simpleName: name,
  kind: "function",
  path: "a.py",
  startLine: 1,
  endLine: 2,
  startByte: 0,
  endByte: 9,
  docstring: true,
  nested: 0,
  signature: `def ${name}()`,
  source,
  reward,
  attribution: reward,
  reason: reward === null ? "too_long" : null,
});

const candidate = (index: number, steps: RewardedStep[], change: Partial<Candidate> = {}): Candidate => ({
  index,
  status: "scored",
  reason: null,
  duplicateOf: null,
  raw: "",
  sampling: {
    model: "m",
    temperature: 1,
    seed: 1,
    finishReason: "stop",
    promptTokens: 1,
    completionTokens: 1,
    costUsd: null,
    selfCertainty: null,
  },
  edits: null,
  compliance: {
    functions: steps.length,
    withDocstrings: steps.length,
    mainFirst: true,
    nested: 0,
    strict: steps.length > 1,
    monolithic: steps.length === 1,
  },
  steps,
  score: 0.5,
  verdict: "NOT_RUN",
  ...change,
});

const touched = (name: string, source: string) => ({
  path: "a.py",
  name,
  startLine: 3,
  endLine: 9,
  change: "modified" as const,
  source,
});

const run = (change: Partial<Run> = {}): Run => ({
  id: "01RUN",
  repositoryId: 1,
  installationId: 2,
  owner: "o",
  repo: "r",
  issueNumber: 7,
  generation: 1,
  state: "opened",
  trigger: { kind: "label", label: "funprm:fix" },
  startedBy: "ada",
  seed: 5,
  baseBranch: "main",
  baseSha: "a".repeat(40),
  issue: { title: HOSTILE, body: HOSTILE, author: "ada", url: "" },
  settings: null,
  generator: { name: "g", model: "m", origin: "scripted" },
  model: {
    name: "funprm-mini",
    version: "0.1.0",
    sha256: "b".repeat(64),
    renderVersion: "v1",
    attention: "causal",
    maxTokens: 1024,
  },
  promptSha256: "c".repeat(64),
  relevant: [],
  lookedAt: null,
  rule: "consensus",
  selected: 0,
  selectionReason: HOSTILE,
  abstention: null,
  failure: null,
  pullRequest: { number: 9, url: "", branch: "funprm/issue-7", title: "", headSha: "d".repeat(40), reviewComments: 2 },
  checkRun: null,
  costUsd: null,
  promptTokens: 10,
  completionTokens: 20,
  tests: null,
  examples: null,
  reproduction: null,
  knockout: null,
  judged: null,
  missing: [],
  manifest: null,
  createdAt: "",
  updatedAt: "",
  finishedAt: null,
  ...change,
});

function report(change: Partial<RunReport> = {}, runChange: Partial<Run> = {}): RunReport {
  const candidates = [
    candidate(0, [step("f", 0.7, "A"), step("g", 0.4, "B")]),
    candidate(1, [step("f", 0.9, "C"), step("g", 0.3, "B")]),
    candidate(2, [step("f", 0.1, "D")]),
    candidate(3, [], { status: "rejected", reason: HOSTILE, score: null, compliance: null }),
  ];
  const ranking = [0, 1, 2].map((index) => ({
    index,
    consensus: 0.5,
    score: 0.5,
    fixed: 0,
    examples: 0,
    written: 0,
    agreement: 0,
  }));
  const changed = changedFunctions(candidates[0]!, [touched("f", "A"), touched("g", "B")], candidates, ranking);
  return {
    run: run(runChange),
    candidates,
    ranking,
    changed,
    link: null,
    limits: { candidates: 8, budgetUsd: 2 },
    ...change,
  };
}

const everything = (one: RunReport) => [
  pullRequestBody("<!-- m -->", one),
  stickyComment("<!-- m -->", one),
  stickyComment("<!-- m -->", {
    ...one,
    run: run({ state: "failed", failure: { code: "BAD_INPUT", message: HOSTILE } }),
  }),
  stickyComment("<!-- m -->", {
    ...one,
    run: run({ state: "abstained", selected: null, abstention: { reason: HOSTILE, help: [HOSTILE] } }),
  }),
  functionComment("<!-- m -->", one.changed[0]!, one),
  checkOutput(one).summary,
];

/** What GitHub would read as Markdown: fenced blocks and inline code removed. */
function outsideCode(text: string): string {
  return text.replace(/^(`{3,}).*\n[\s\S]*?^\1$/gm, "").replace(/(`+)[^\n]*?\1/g, "");
}

describe("what the app writes", () => {
  it("ranks a function among its distinct versions by reward, and shows the runner-up's only where it differs", () => {
    const [f, g] = report().changed as [ChangedFunction, ChangedFunction];
    expect([f.rank, f.versions]).toEqual([2, 3]);
    expect(f.runnerUp).toEqual({ index: 1, source: "C" });
    expect([g.rank, g.versions, g.runnerUp]).toEqual([1, 1, null]);
  });

  it("says reward with two decimals, never a percentage, while uncalibrated", () => {
    const text = functionComment("<!-- m -->", report().changed[0]!, report());
    expect(text).toContain("reward **0.70** · 2nd of 3 versions of `f`");
    for (const body of everything(report())) {
      expect(body).not.toMatch(/\d\s*%/);
      expect(body.toLowerCase()).not.toContain("bug");
    }
  });

  it("turns hostile text into neither mention, image, link, element, closing word nor marker", () => {
    for (const body of everything(report())) {
      const text = outsideCode(body);
      expect(text).not.toMatch(/@everyone/);
      expect(text).not.toMatch(/!\[x\]\(/);
      expect(text).not.toMatch(/evil\.example\/x\.png\)/);
      expect(text).not.toContain("https://evil");
      expect(text).not.toContain("<script");
      expect(text.match(/closes #\d+/gi) ?? []).toEqual(body.includes("Closes #7") ? ["Closes #7"] : []);
    }
  });

  it("has the sections of the pull request in the order of the product contract", () => {
    const body = pullRequestBody("<!-- m -->", report());
    const order = [
      "<!-- m -->",
      "Closes #7",
      "## What changed",
      "## Why this candidate",
      "## Per-function rewards",
      "## Evidence",
      "## What was not checked",
      "Alternatives",
      "Reproduce",
      "Cost:",
      "Written by an app",
      "Commands",
    ];
    const places = order.map((part) => body.indexOf(part));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(Math.min(...places)).toBe(0);
  });

  it("says the literal line when nothing ran, and takes evidence from records alone when something did", () => {
    expect(testsLine(report())).toBe("Tests: not run by this app; see CI.");
    const summary = {
      verdict: "PASS" as const,
      exitCode: 0,
      passed: 11,
      failed: 0,
      skipped: 0,
      logSha256: "e".repeat(64),
      wallMs: 5,
    };
    const tests = {
      status: "ran" as const,
      reason: null,
      command: ["python3", "-m", "unittest"],
      tier: 1,
      base: { ...summary, passed: 10, failed: 1 },
      candidates: [{ ...summary, index: 0, broke: [], fixed: ["t.a"] }],
    };
    const body = pullRequestBody("<!-- m -->", report({}, { tests }));
    expect(body).toContain("Failed on base, pass now: `t.a`");
    expect(body).toContain("| candidate 0 | 11 | 0 | 0 | 0 | `eeeeeeeeeeee` |");
    expect(body).not.toContain("see CI");
  });

  it("names the function with the lowest attribution, not the lowest reward", () => {
    const one = report();
    one.changed = one.changed.map((changed, i) => ({
      ...changed,
      reward: i === 0 ? 0.2 : 0.3,
      attribution: i === 0 ? 0.9 : 0.1,
    }));
    expect(checkOutput(one).title).toBe("2/2 functions scored · uncalibrated · lowest g 0.30");
  });

  it("stays within GitHub's sizes with 2,000 functions, and says what it left out", () => {
    const one = report();
    one.changed = Array.from({ length: 2000 }, (_, i) => ({
      ...one.changed[0]!,
      name: `function_with_a_long_name_${i}`,
    }));
    const body = pullRequestBody("<!-- m -->", one);
    expect(body.length).toBeLessThanOrEqual(BODY_LIMIT);
    expect(body).toContain("Left out for length");
    expect(checkOutput(one).summary.length).toBeLessThanOrEqual(BODY_LIMIT);
    expect(checkOutput(one).text!.length).toBeLessThanOrEqual(BODY_LIMIT);
  });
});

describe("markdown", () => {
  it("fences with more backticks than the text holds", () => {
    expect(fenced("a\n````\nb").startsWith("`````\n")).toBe(true);
  });

  it("keeps inline code on one line ; a table puts it into one cell", () => {
    expect(code("a`b\nc|d")).toBe("``a`b c|d``");
    expect(code("`x`")).toBe("`` `x` ``");
  });

  it("escapes what Markdown and GitHub read", () => {
    expect(plain("a*b @c #1 <d> https://e")).toBe("a\\*b @\u200dc \\#1 &lt;d\\> https:\u200d//e");
  });

  it("cuts even sections that must stay when they alone are too long", () => {
    expect(withinLimit([{ name: "a", text: "x".repeat(500), keep: true }], 100).length).toBeLessThanOrEqual(100);
  });

  it("counts places in English", () => {
    expect([1, 2, 3, 4, 11, 12, 13, 21, 102, 112].map(ordinal)).toEqual([
      "1st",
      "2nd",
      "3rd",
      "4th",
      "11th",
      "12th",
      "13th",
      "21st",
      "102nd",
      "112th",
    ]);
  });

  it("says in the sticky comment and the check run what it left out and which settings nobody reads", () => {
    const one = report(
      {},
      {
        lookedAt: { files: 3100, of: 5000 },
        settings: { config: {}, origins: {}, problems: [{ line: 4, message: "unknown key fix.colour" }] },
      },
    );
    for (const text of [stickyComment("<!-- m -->", one), checkOutput(one).summary]) {
      expect(text).toContain("I looked at 3100 of 5000 files");
      expect(text).toMatch(/funprm\.yml` line 4: unknown key fix\\?\.colour/);
    }
    expect(stickyComment("<!-- m -->", report())).not.toMatch(/looked at|funprm\.yml/);
  });
});
