/**
 * How many labels do merged pull requests leave in a repository that offers nothing but its tests: no artifacts, no
 * continuous integration? The repository is real: modules of the Python standard library with their own doctests as tests.
 * Pull requests are made: a bug of domain/mutate.ts mended, a harmless edit, a bug merged, a new function, in the shares of
 * `KINDS`. Every one is judged by the flow that the app runs (`testPull`), the grades are those of `gradedLabels`, and the
 * truth of each function is known, so wrong labels are counted too. The shares are an assumption;
 * yield by kind is printed for other mixes. `node bench/label-yield.ts [--pulls 100] [--seed 1]`
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { createSandboxJudge } from "../src/adapters/sandbox/sandbox-judge.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../src/adapters/workspace/workspace.ts";
import { decided, gradedLabels } from "../src/domain/graded-label.ts";
import { applyMutation, mutationsOf } from "../src/domain/mutate.ts";
import type { OutcomeEvent } from "../src/domain/outcome.ts";
import { seeded } from "../src/evaluation/statistics.ts";
import { functionsOfPull, reviewedFiles, testPull } from "../src/flows/judge-pull.ts";
import { testEvents } from "../src/flows/record-outcome.ts";
import type { Checkout, PullRequestFile } from "../src/ports.ts";
import { harmlessEdits } from "./harmless-edit.ts";

const { values } = parseArgs({
  options: { pulls: { type: "string", default: "100" }, seed: { type: "string", default: "1" } },
});
const STDLIB = "/usr/lib/python3.11";
/** With doctests that run between a third and four fifths of their functions, and no implementation in C behind them. */
const MODULES = ["difflib", "statistics", "_pydecimal", "pickletools", "enum", "doctest"];
type Kind = "mended" | "edited" | "broken" | "added";
/** Of merged pull requests. Merges that break what a test of the repository runs are rare: people see red tests. */
const KINDS: [Kind, number][] = [
  ["mended", 0.4],
  ["edited", 0.3],
  ["broken", 0.1],
  ["added", 0.2],
];

const random = seeded(Number(values.seed));
const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
const folder = mkdtempSync(join(tmpdir(), "funprm-yield-"));
const judge = await createSandboxJudge({ weakestTier: 1 });
const syntax = await createSyntax();
const workspace = createWorkspace();
/** Doctests import the module by its own name, which would be the interpreter's copy. */
const inFolder = (source: string) =>
  source
    .replace(/(>>> from )(\w+)(?= import)/g, (whole, start, name) =>
      MODULES.includes(name) ? `${start}lib.${name}` : whole,
    )
    .replace(/(>>> )import (\w+)$/gm, (whole, start, name) =>
      MODULES.includes(name) ? `${start}from lib import ${name}` : whole,
    );
const sources = new Map(
  MODULES.map((name) => [`lib/${name}.py`, inFolder(readFileSync(`${STDLIB}/${name}.py`, "utf8"))]),
);

function write(root: string, change: ReadonlyMap<string, string>): string {
  const test = (module: string) =>
    `import doctest\nimport lib.${module}\n\n\ndef load_tests(loader, tests, pattern):\n    return doctest.DocTestSuite(lib.${module})\n`;
  const files = new Map([
    ["lib/__init__.py", ""],
    ["tests/__init__.py", ""],
    ...MODULES.map((name): [string, string] => [`tests/test_${name}.py`, test(name)]),
    ...sources,
    ...change,
  ]);
  for (const [path, text] of files) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** One function of the library on both sides, and whether the head is right. */
function change(kind: Kind): { path: string; before: string; after: string; right: boolean } {
  for (;;) {
    const [path, source] = draw([...sources]);
    if (kind === "added") {
      const definitions = syntax.outline(source, "python").definitions.filter((one) => one.name === one.simpleName);
      if (definitions.length === 0) continue;
      const { span, simpleName } = draw(definitions);
      // Doctests of the copy call the copy: it comes with a test where the original has one.
      const copy = source
        .slice(span.start, span.end)
        .replaceAll(new RegExp(`\\b${simpleName}\\b`, "g"), `${simpleName}_again`);
      return { path, before: source, after: `${source}\n\n${copy}\n`, right: true };
    }
    const definition = draw(syntax.outline(source, "python").definitions);
    const harmless = harmlessEdits(source, definition);
    const mutations = mutationsOf(source, definition);
    if (kind === "edited" && harmless.length > 0)
      return { path, before: source, after: draw(harmless).text, right: true };
    if (mutations.length === 0) continue;
    const wrong = applyMutation(source, draw(mutations));
    if (kind === "mended") return { path, before: wrong, after: source, right: true };
    if (kind === "broken") return { path, before: source, after: wrong, right: false };
  }
}

function drawKind(): Kind {
  let rest = random();
  for (const [kind, share] of KINDS) {
    if (rest < share) return kind;
    rest -= share;
  }
  return "added";
}

type Found = { kind: Kind; grade: string; label: 0 | 1 | null; right: boolean };
const found: Found[] = [];
let unable = 0;
const started = performance.now();
const open = async (name: string, path: string, text: string): Promise<Checkout> =>
  await workspace.checkout({ kind: "local", path: write(join(folder, name), new Map([[path, text]])), ref: null });
for (let number = 1; number <= Number(values.pulls); number++) {
  const kind = drawKind();
  const { path, before, after, right } = change(kind);
  const trees = { base: await open(`base${number}`, path, before), head: await open(`head${number}`, path, after) };
  const files: PullRequestFile[] = [
    { path, previousPath: null, status: "modified", additions: 1, deletions: 1, patch: null },
  ];
  const { functions } = functionsOfPull(
    syntax,
    [`change ${number}`],
    await reviewedFiles(files, trees.base, trees.head),
  );
  const tested = await testPull(
    judge,
    trees,
    files,
    functions,
    {
      command: ["python3", "-m", "unittest", "discover", "-s", "tests", "-t", "."],
      environment: null,
      timeoutSeconds: 60,
    },
    new AbortController().signal,
  );
  if ("reason" in tested) {
    unable += 1;
    process.stderr.write(`${number}: ${tested.reason}\n`);
    continue;
  }
  const [head, base] = [`head${number}`, `base${number}`];
  const fact = { at: number, actor: "ann" };
  const events: OutcomeEvent[] = [
    { ...fact, id: "opened", kind: "opened", number, head, base, defaultBranch: "main" },
    { ...fact, id: "changes", kind: "changes", head, paths: [path], functions },
    { ...fact, id: "merged", kind: "merged", head, testMerge: null, final: [`final${number}`] },
    ...testEvents(head, base, tested, number),
  ];
  for (const label of decided(gradedLabels(1, events, number + 1))) {
    // The text on base is wrong only where it was made so for a pull request to mend.
    const truth = label.head === base ? kind !== "mended" : right;
    found.push({ kind, grade: label.grade, label: label.label, right: truth });
  }
  rmSync(join(folder, `base${number}`), { recursive: true });
  rmSync(join(folder, `head${number}`), { recursive: true });
  process.stderr.write(`\r${number} `);
}
judge.dispose();
rmSync(folder, { recursive: true });

const pulls = Number(values.pulls);
const line = (name: string, rows: readonly Found[]) => {
  const labels = rows.filter((row) => row.label !== null);
  const wrong = labels.filter((row) => (row.label === 1) !== row.right).length;
  const grades = ["A+", "A-", "B+", "B-", "C"].map((grade) => rows.filter((row) => row.grade === grade).length);
  return `| ${name} | ${rows.length} | ${grades.join(" | ")} | ${labels.length} | ${wrong} |`;
};
process.stdout.write(`
| Pull request | texts | A+ | A- | B+ | B- | C | A/B labels | of them wrong |
|---|---|---|---|---|---|---|---|---|
${KINDS.map(([kind]) =>
  line(
    kind,
    found.filter((row) => row.kind === kind),
  ),
).join("\n")}
${line("all", found)}

${((found.filter((row) => row.label !== null).length / pulls) * 100).toFixed(0)} A/B labels per 100 merged pull requests (${pulls}, seed ${values.seed}; ${unable} could not be tested); ${((performance.now() - started) / 1000 / pulls).toFixed(1)} s a pull request
`);
