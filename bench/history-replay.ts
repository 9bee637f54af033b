/**
 * Does reading a change in the reviewer's order find its bug early? Six real git histories made of the Python standard
 * library's functions: each commit adds a module's functions or edits functions of one harmlessly, and one of them gets a
 * bug (domain/mutate.ts); later commits mend the bugs among harmless edits. Every commit is reviewed by the engine of
 * `funprm review`. Recall of the buggy function among the first 5 read, against longest-first and random order, with
 * bootstrap intervals over commits; precision of findings with its Wilson interval. `node bench/history-replay.ts` shows the
 * three histories that may be looked at, `--final` all. The models have read the standard library as text: its functions are
 * no unseen code. `funprm-mini-review` was trained on other packages' functions with bugs of the same maker (domain/mutate.ts) and
 * with edits of the same kinds as the harmless ones here (domain/equivalent-edit.ts): to it only names and functions are new.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { openRewardModel } from "../src/adapters/onnx/reward-model.ts";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../src/adapters/workspace/workspace.ts";
import { wilson } from "../src/domain/calibration.ts";
import type { Definition } from "../src/domain/function-step.ts";
import { sha256 } from "../src/domain/ids.ts";
import { applyMutation, drawMutations, mutationsOf } from "../src/domain/mutate.ts";
import type { ReviewedFunction } from "../src/domain/review.ts";
import { bootstrap, groupSums, seeded } from "../src/evaluation/statistics.ts";
import { reviewChange } from "../src/flows/review-change.ts";
import { harmlessEdits } from "./harmless-edit.ts";

const HISTORIES: { name: string; modules: string[]; finalOnly: boolean }[] = [
  {
    name: "text",
    modules: ["textwrap", "shlex", "difflib", "fnmatch", "string", "pprint", "gettext"],
    finalOnly: false,
  },
  {
    name: "numbers",
    modules: ["heapq", "bisect", "statistics", "fractions", "random", "colorsys", "_pydecimal"],
    finalOnly: false,
  },
  {
    name: "network",
    modules: ["urllib/parse", "ipaddress", "http/cookies", "email/utils", "mimetypes", "quopri", "base64"],
    finalOnly: false,
  },
  {
    name: "files",
    modules: ["posixpath", "shutil", "zipfile", "tarfile", "tempfile", "glob", "genericpath", "filecmp"],
    finalOnly: true,
  },
  {
    name: "dates",
    modules: ["calendar", "datetime", "_strptime", "sched", "locale", "plistlib", "configparser"],
    finalOnly: true,
  },
  {
    name: "language",
    modules: ["ast", "tokenize", "inspect", "dis", "copy", "functools", "collections/__init__", "argparse"],
    finalOnly: true,
  },
];
const READ = 5;
const MOST_LINES = 60;
const LEAST_LINES = 4;

const { values } = parseArgs({
  options: {
    model: { type: "string", default: join(import.meta.dirname, "../models/funprm-mini-review") },
    commits: { type: "string", default: "24" },
    functions: { type: "string", default: "12" },
    final: { type: "boolean", default: false },
  },
});
const COMMITS = Number(values.commits);
const FUNCTIONS = Number(values.functions);
const stdlib = execFileSync("/usr/bin/python3", ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], {
  encoding: "utf8",
}).trim();
const syntax = await createSyntax();
const model = await openRewardModel(values.model);
const workspace = createWorkspace();

type Commit = { kind: "add" | "edit" | "mend"; path: string; buggy: string | null; bug: string | null };

/** A folder with a repository of one history, and what each of its commits holds, oldest first, the first commit left out. */
function make(name: string, modules: readonly string[]): { folder: string; commits: Commit[] } {
  const folder = mkdtempSync(join(tmpdir(), `funprm-history-${name}-`));
  const git = (...args: string[]) =>
    execFileSync(
      "git",
      ["-c", "user.name=history", "-c", "user.email=history@example.org", "-c", "commit.gpgsign=false", ...args],
      {
        cwd: folder,
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
  git("init", "--quiet", "--initial-branch=main");
  const random = seeded(Number.parseInt(sha256(`history|${name}`).slice(0, 8), 16));
  const draw = <T>(from: readonly T[], count: number): T[] =>
    from
      .map((one) => ({ one, order: random() }))
      .sort((a, b) => a.order - b.order)
      .slice(0, count)
      .map(({ one }) => one);
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const standing = new Map<string, string>();
  /** Right version of every function that has a bug now. */
  const bugs: { path: string; name: string; right: string; wrong: string }[] = [];
  const commits: Commit[] = [];
  const commit = (message: string, change: Commit | null) => {
    git("add", "--all");
    git("commit", "--quiet", "--allow-empty", "-m", message);
    if (change !== null) commits.push(change);
  };
  const waiting = [...modules];
  const next = () => {
    const module = waiting.shift()!;
    return { path: `${module}.py`, text: readFileSync(join(stdlib, `${module}.py`), "utf8") };
  };
  for (let at = 0; at < 2; at++) {
    const { path, text } = next();
    standing.set(path, text);
    write(path, text);
  }
  commit("First modules", null);
  for (let at = 0; commits.length < COMMITS; at++) {
    if (at > 10 * COMMITS) throw new Error(`history ${name}: not enough functions to edit`);
    const kind = at % 6 === 5 && waiting.length > 0 ? "add" : at % 4 === 3 && bugs.length > 0 ? "mend" : "edit";
    if (kind === "add") {
      const { path, text } = next();
      const eligible = unique(text).filter((one) => mutationsOf(text, one).length > 0);
      const kept = draw(eligible, FUNCTIONS);
      const chosen = kept[0];
      if (chosen === undefined) continue;
      const mutation = drawMutations(mutationsOf(text, chosen), 1, `${name}|${path}`)[0]!;
      const right = text.slice(chosen.span.start, chosen.span.end);
      const wrong = applyMutation(right, {
        ...mutation,
        start: mutation.start - chosen.span.start,
        end: mutation.end - chosen.span.start,
      });
      // Only the chosen functions, so that one commit is one reading.
      const source = kept
        .toSorted((a, b) => a.span.start - b.span.start)
        .map((one) => outdented(one === chosen ? wrong : text.slice(one.span.start, one.span.end)))
        .join("\n\n\n");
      const added = `${path.slice(0, -3)}_more.py`;
      standing.set(added, `${source}\n`);
      write(added, `${source}\n`);
      bugs.push({ path: added, name: chosen.simpleName, right: outdented(right), wrong: outdented(wrong) });
      commit(`Add ${added}`, { kind, path: added, buggy: chosen.simpleName, bug: mutation.kind });
      continue;
    }
    const paths = [...standing.keys()];
    const path = kind === "mend" ? bugs[0]!.path : draw(paths, 1)[0]!;
    const before = standing.get(path)!;
    const mended = kind === "mend" ? bugs.shift()! : null;
    let text = mended === null ? before : before.replace(mended.wrong, () => mended.right);
    if (mended !== null && text === before) continue;
    const broken = new Set(bugs.filter((one) => one.path === path).map((one) => one.name));
    const editable = unique(text).filter(
      (one) => one.name !== mended?.name && !broken.has(one.name) && harmlessEdits(text, one).length > 0,
    );
    const chosen = draw(editable, FUNCTIONS - (mended === null ? 0 : 1)).map((one) => one.name);
    if (chosen.length <= READ) continue;
    for (const function_ of chosen) {
      const definition = named(text, function_);
      const edits = definition === undefined ? [] : harmlessEdits(text, definition);
      if (edits.length > 0) text = edits[Math.floor(random() * edits.length)]!.text;
    }
    let buggy: string | null = null;
    let bug: string | null = null;
    if (mended === null) {
      for (const function_ of chosen) {
        const definition = named(text, function_);
        const mutation = definition && drawMutations(mutationsOf(text, definition), 1, `${name}|${at}`)[0];
        if (definition === undefined || mutation === undefined) continue;
        const mutated = applyMutation(text, mutation);
        if (!syntax.outline(mutated, "python").parsed) continue;
        const right = text.slice(definition.span.start, definition.span.end);
        text = mutated;
        [buggy, bug] = [function_, mutation.kind];
        const now = named(text, function_)!;
        bugs.push({ path, name: function_, right, wrong: text.slice(now.span.start, now.span.end) });
        break;
      }
      if (buggy === null) continue;
    }
    standing.set(path, text);
    write(path, text);
    commit(mended === null ? `Rework ${path}: names and structure` : `Rework ${path} and fix ${mended.name}`, {
      kind,
      path,
      buggy,
      bug,
    });
  }
  return { folder, commits };
}

/** Definitions of a size that people write, whose name stands once. */
function unique(text: string): Definition[] {
  const { definitions } = syntax.outline(text, "python");
  const counts = Map.groupBy(definitions, (one) => one.name);
  return definitions.filter((one) => {
    const lines = one.endLine - one.startLine + 1;
    return counts.get(one.name)!.length === 1 && lines >= LEAST_LINES && lines <= MOST_LINES;
  });
}

function named(text: string, name: string): Definition | undefined {
  return unique(text).find((one) => one.name === name);
}

/** A method as a function of a module. */
function outdented(text: string): string {
  const lines = text.split("\n");
  const margin = Math.min(
    ...lines
      .slice(1)
      .filter((line) => line.trim() !== "")
      .map((line) => line.length - line.trimStart().length),
  );
  const header = lines.findIndex((line) => /^\s*(?:async )?def /.test(line));
  const own = header <= 0 ? Math.max(0, margin - 4) : lines[header]!.length - lines[header]!.trimStart().length;
  return lines
    .map((line, at) => (at === 0 ? line : line.slice(0, own).trim() === "" ? line.slice(own) : line))
    .join("\n");
}

type Reading = { history: string; at: string; bug: string | null; found: Record<string, number> | null };
const readings: Reading[] = [];
const findings: { history: string; right: boolean }[] = [];
const ORDERS = {
  engine: (one: ReviewedFunction) => one.rank!,
  attribution: (one: ReviewedFunction) => one.attribution!,
  "drop against base": (one: ReviewedFunction) =>
    one.baseAttribution === null ? 0 : one.attribution! - one.baseAttribution,
  "raw reward": (one: ReviewedFunction) => one.reward!,
  "longest first": (one: ReviewedFunction) => one.startLine - one.endLine,
} as const;

/** Chance that the wanted one is among the first that are read; equal keys are in any order. */
function chanceRead(keys: readonly number[], wanted: number): number {
  const before = keys.filter((key) => key < keys[wanted]!).length;
  const equal = keys.filter((key) => key === keys[wanted]!).length;
  return Math.min(1, Math.max(0, READ - before) / equal);
}

for (const { name, modules } of HISTORIES.filter((one) => values.final || !one.finalOnly)) {
  const { folder, commits } = make(name, modules);
  try {
    for (const [at, commit] of commits.entries()) {
      const back = commits.length - at;
      const change = await workspace.compare(folder, `HEAD~${back}`, `HEAD~${back - 1}`);
      const report = await reviewChange(
        { syntax, model },
        { statement: change.messages.join("\n\n"), files: change.files, ignored: () => false, calibration: null },
      );
      const scored = report.functions.filter((one) => one.attribution !== null);
      const isBuggy = (one: ReviewedFunction) => one.path === commit.path && one.name === commit.buggy;
      for (const one of scored.filter((one) => one.finding)) findings.push({ history: name, right: isBuggy(one) });
      const wanted = scored.findIndex(isBuggy);
      if (commit.buggy !== null && wanted < 0) throw new Error(`${name}: ${commit.buggy} was not scored`);
      readings.push({
        history: name,
        at: `${name}-${at}`,
        bug: commit.bug === null ? null : `${commit.kind}: ${commit.bug}`,
        found:
          wanted < 0
            ? null
            : {
                ...Object.fromEntries(
                  Object.entries(ORDERS).map(([order, key]) => [order, chanceRead(scored.map(key), wanted)]),
                ),
                random: Math.min(1, READ / scored.length),
              },
      });
      process.stderr.write(`\r${name}: ${at + 1}/${commits.length} commits, ${scored.length} functions   `);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
await model.dispose();
process.stderr.write("\n");

const shown = (rows: [string, number][]) => {
  const one = bootstrap(groupSums(rows));
  return one === null ? "–" : `${one.value.toFixed(3)} [${one.ci[0].toFixed(3)}, ${one.ci[1].toFixed(3)}]`;
};
console.log(
  `model ${model.info.name} ${model.info.version}, ${readings.length} commits${values.final ? ", final" : ""}`,
);
for (const history of [...new Set(readings.map((one) => one.history)), null]) {
  const with_ = readings.filter((one) => one.found !== null && (history === null || one.history === history));
  console.log(`${history ?? "all"}: ${with_.length} commits with a bug; recall within the first ${READ} read`);
  for (const order of [...Object.keys(ORDERS), "random"]) {
    const recall = shown(with_.map((one) => [one.at, one.found![order]!]));
    const against = (other: string) => shown(with_.map((one) => [one.at, one.found![order]! - one.found![other]!]));
    console.log(
      `  ${order.padEnd(20)} ${recall}, against longest first ${against("longest first")}, against random ${against("random")}`,
    );
  }
  const said = findings.filter((one) => history === null || one.history === history);
  const right = said.filter((one) => one.right).length;
  const interval = said.length === 0 ? null : wilson(right, said.length);
  console.log(
    `  findings ${said.length}, of them the bug ${right}${interval === null ? "" : `: precision ${(right / said.length).toFixed(3)} [${interval[0].toFixed(3)}, ${interval[1].toFixed(3)}] (Wilson)`}`,
  );
}

console.log("engine by kind of change and bug");
for (const bug of [...new Set(readings.flatMap((one) => one.bug ?? []))].sort()) {
  const rows = readings.filter((one) => one.bug === bug && one.found !== null);
  console.log(
    `  ${bug.padEnd(20)} ${rows.length} commits: ${shown(rows.map((one) => [one.at, one.found!["engine"]!]))}`,
  );
}
