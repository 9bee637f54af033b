/** Where a finding stands when GitHub takes no comment on its lines, and where what could not be looked into is said. */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import type { Finding } from "../../src/domain/finding.ts";
import type { ReviewedFunction, ReviewReport } from "../../src/domain/review.ts";
import { reviewCheck } from "../../src/domain/review-check.ts";
import { findingComment, reviewBody } from "../../src/domain/review-comment.ts";
import { inlineComments } from "../../src/domain/review-inline.ts";
import { reviewRound } from "../../src/domain/review-round.ts";
import { checkAnchor } from "../../src/fake-github/anchors.ts";
import { readPullFiles } from "../../src/flows/read-pull-files.ts";
import { reviewChange } from "../../src/flows/review-change.ts";
import type { GitHost, PullRequestFacts, PullRequestFile, RepoRef, Syntax } from "../../src/ports.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

let syntax: Syntax;
beforeAll(async () => {
  syntax = await createSyntax();
});

const F = "def f(x):\n    y = x\n    return y\n";
const LOW = "def f(x):\n    return x\n";
const G = "\n\ndef g(x):\n    return x\n";
const BINARY = `${F}\0`;
const file = (more: Partial<PullRequestFile>): PullRequestFile => ({
  ...{ path: "m.py", previousPath: null, status: "modified", additions: 0, deletions: 0, patch: null },
  ...more,
});

/** What GitHub says of one file, its text at the head and at base, and the functions and files that must be accounted for. */
type Case = {
  what: string;
  files: PullRequestFile[];
  head: Record<string, string>;
  base?: Record<string, string>;
  comments: string[];
  annotations: string[];
  listed: string[];
  rows: string[];
};
const CASES: Case[] = [
  {
    what: "lines were only deleted: on the lines that the hunk shows of the function",
    files: [file({ deletions: 1, patch: "@@ -1,3 +1,2 @@\n def f(x):\n-    ok = x\n     return x" })],
    head: { "m.py": "def f(x):\n    return x\n" },
    comments: ["f"],
    annotations: [],
    listed: [],
    rows: ["f modified"],
  },
  {
    what: "the last lines of a function were deleted, and its hunk shows none of what is left: an annotation",
    files: [file({ deletions: 1, patch: "@@ -3 +2,0 @@\n-    return ok" })],
    head: { "m.py": "def f(x):\n    y = x\n" },
    comments: [],
    annotations: ["f"],
    listed: [],
    rows: ["f modified"],
  },
  {
    what: "the whole function was deleted: a row of the table",
    files: [file({ deletions: 3, patch: `@@ -1,3 +0,0 @@\n-${F.trimEnd().replaceAll("\n", "\n-")}` })],
    head: { "m.py": "" },
    comments: [],
    annotations: [],
    listed: [],
    rows: ["f deleted"],
  },
  {
    what: "a binary file beside it takes nothing from it, and is no function",
    files: [
      file({ additions: 1, deletions: 1, patch: "@@ -1,2 +1,2 @@\n def f(x):\n-    return ok\n+    return x" }),
      file({ path: "logo.png" }),
      file({ path: "b.py" }),
    ],
    head: { "m.py": "def f(x):\n    return x\n", "b.py": BINARY },
    base: { "b.py": `old ${BINARY}` },
    comments: ["f"],
    annotations: [],
    listed: ["b.py"],
    rows: ["f modified"],
  },
  {
    what: "GitHub leaves the patch of a large file out: the file is listed",
    files: [file({ additions: 21_000, deletions: 1 })],
    head: { "m.py": LOW + G },
    comments: [],
    annotations: [],
    listed: ["m.py"],
    rows: [],
  },
  {
    what: "a binary file is added, changed or removed: listed, though GitHub counts no line of it",
    files: [file({ status: "added" }), file({ path: "c.py" }), file({ path: "d.py", status: "removed" })],
    head: { "m.py": BINARY, "c.py": BINARY },
    base: { "c.py": F, "d.py": BINARY },
    comments: [],
    annotations: [],
    listed: ["m.py", "c.py", "d.py"],
    rows: [],
  },
  {
    what: "renamed without a change, another mode, an empty file added or removed: nothing changed",
    files: [
      file({ path: "n.py", previousPath: "m.py", status: "renamed" }),
      file({ path: "x.py" }),
      file({ path: "e.py", status: "added" }),
      file({ path: "z.py", status: "removed" }),
    ],
    head: { "n.py": LOW + G, "x.py": LOW, "e.py": "" },
    base: { "m.py": LOW + G, "x.py": LOW, "z.py": "" },
    comments: [],
    annotations: [],
    listed: [],
    rows: [],
  },
  {
    what: "a symbolic link is added, which GitHub reads as what it points to: listed",
    files: [
      file({ status: "added", additions: 1, patch: "@@ -0,0 +1 @@\n+src/big.py\n\\ No newline at end of file" }),
      file({
        path: "n.py",
        status: "added",
        additions: 1,
        patch: "@@ -0,0 +1 @@\n+one.py\n\\ No newline at end of file",
      }),
    ],
    head: { "m.py": LOW + G, "n.py": "x = 1\n" },
    comments: [],
    annotations: [],
    listed: ["m.py", "n.py"],
    rows: [],
  },
  {
    what: "renamed and changed without a patch, as where git takes it for binary: listed",
    files: [file({ path: "n.py", previousPath: "m.py", status: "renamed" })],
    head: { "n.py": LOW + G },
    base: { "m.py": F + G },
    comments: [],
    annotations: [],
    listed: ["n.py"],
    rows: [],
  },
  {
    what: "renamed from and to a file of another kind: its functions are new, and gone",
    files: [
      file({ path: "tool.py", previousPath: "tool", status: "renamed" }),
      file({ path: "old.txt", previousPath: "old.py", status: "renamed" }),
    ],
    head: { "tool.py": F, "old.txt": G },
    base: { tool: F, "old.py": G },
    comments: [],
    annotations: [],
    listed: [],
    rows: ["f added", "g deleted"],
  },
  {
    what: "renamed and changed: at its new place",
    files: [
      file({
        ...{ path: "n.py", previousPath: "m.py", status: "renamed", additions: 1, deletions: 1 },
        patch: "@@ -1,2 +1,2 @@\n def f(x):\n-    return ok\n+    return x",
      }),
    ],
    head: { "n.py": "def f(x):\n    return x\n" },
    comments: ["f"],
    annotations: [],
    listed: [],
    rows: ["f modified"],
  },
];

async function review({ files, head, base = {} }: Case) {
  const [headSha, baseSha] = ["a".repeat(40), "b".repeat(40)];
  const host = {
    pullRequestFiles: async () => files,
    readFile: async (_: RepoRef, path: string, sha: string) => {
      const text = (sha === headSha ? head : base)[path];
      return text === undefined ? null : Buffer.from(text);
    },
  } as unknown as GitHost;
  const pull = { number: 1, headSha, baseSha } as PullRequestFacts;
  const read = await readPullFiles(host, {} as RepoRef, pull, new AbortController().signal);
  const model = createFakeRewardModel((_, prefix) => (/^$|ok/.test(prefix.at(-1)!) ? 0.8 : 0.2));
  const report = await reviewChange(
    { syntax, model },
    { statement: "", files: read.files, ignored: () => false, calibration: null },
  );
  const findings = report.functions.filter((one) => one.finding);
  const comments = inlineComments(findings, read.patches, () => ({ setting: "", most: 20 }));
  const check = reviewCheck(report, [], undefined, new Set(comments.map(({ one }) => one)));
  return { report, findings, comments, check, patches: read.patches };
}

describe("a finding is a comment that GitHub takes, else an annotation; what was not looked into is listed", () => {
  test.each(CASES)("$what", async (one) => {
    const { report, findings, comments, check, patches } = await review(one);
    expect(comments.map((comment) => comment.one.name)).toEqual(one.comments);
    for (const { one: finding, startLine, line } of comments) {
      const start = startLine === null ? {} : { start_line: startLine, start_side: "RIGHT" as const };
      const anchor = { path: finding.path, line, side: "RIGHT" as const, ...start };
      expect(checkAnchor(anchor, patches)).not.toHaveProperty("refused");
    }
    expect(check.annotations.map(({ title }) => title)).toEqual(one.annotations.map((name) => `Low reward: ${name}`));
    expect(comments.length + check.annotations.length).toBe(findings.length);
    expect(report.coverage.notScored.map(({ path }) => path)).toEqual(one.listed);
    for (const path of one.listed) expect(check.text).toContain(path);
    expect(report.functions.map(({ name, change }) => `${name} ${change}`)).toEqual(one.rows);
    for (const { name } of report.functions) expect(check.summary).toContain(name);
    // Nothing that was left out is ever said to be fine.
    if (one.listed.length > 0) expect(check.conclusion).toBe("neutral");
  });
});

test("files that GitHub does not name are in scope: never a success, and nothing is taken for fixed", async () => {
  const host = { pullRequestFiles: async () => [] } as unknown as GitHost;
  const pull = { number: 1, changedFiles: 3_412 } as PullRequestFacts;
  const { files, unlisted } = await readPullFiles(host, {} as RepoRef, pull, new AbortController().signal);
  const report = await reviewChange(
    { syntax, model: createFakeRewardModel() },
    { statement: "", files, unlisted, ignored: () => false, calibration: null },
  );
  expect(report.ledger).toBe("scored 0/1; 1 list of files that GitHub cut short, by 3412 files");
  expect(reviewCheck(report, []).conclusion).toBe("neutral");
  const finding = { path: "x.py", name: "f", bodyHash: "h", modelVersion: "m", state: "posted" } as Finding;
  expect(reviewRound(report, { findings: [finding], reviewed: new Set(), full: false }).fixed).toEqual([]);
});

test("no comment carries a suggestion block, whatever programs are named or evidence says", () => {
  const nasty = fc
    .array(fc.constantFrom("```suggestion", "~~~suggestion", "\n", " ", "`", "x", "> ", "- ", "\r"), { maxLength: 12 })
    .map((parts) => parts.join(""));
  const opens = /^[\s>*+|-]*(?:`{3,}|~{3,})\s*suggestion/m;
  fc.assert(
    fc.property(nasty, nasty, nasty, (path, name, text) => {
      const one: ReviewedFunction = {
        ...{ path, name, language: "python", startLine: 1, endLine: 2, change: "modified" },
        ...{ reward: 0.1, attribution: 0.2, baseReward: 0.8, baseAttribution: 1, reason: null, rank: 1 },
        ...{ estimate: null, calibration: "uncalibrated", calibrationVersion: null, finding: true, bodyHash: "h" },
        evidence: [{ kind: "tests", text }],
      };
      const report = { functions: [one], coverage: { scored: 1, inScope: 1, notScored: [] }, ledger: "", hidden: [] };
      const check = reviewCheck(report as unknown as ReviewReport, [text]);
      for (const body of [findingComment("<!-- m -->", one, 9, false), reviewBody("<!-- m -->", 1, 0), check.summary])
        expect(body).not.toMatch(opens);
    }),
    { numRuns: 200 },
  );
});
