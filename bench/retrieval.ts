/**
 * Recall of the relevant function for issue texts about the machine's Python standard library (without its tests), all of
 * whose functions are the pool. `node bench/retrieval.ts` shows the half of the texts that may be looked at while tuning;
 * `--final` all of them. Plain tf-idf cosine over the
 * same functions stands beside.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { locate, type SourceFile, words } from "../src/domain/relevance.ts";
import { decodeSource } from "../src/domain/segment.ts";

type Issue = { title: string; body: string; path: string; name: string; namesTheFunction: boolean; finalOnly: boolean };

const final = process.argv.includes("--final");
const issues = (
  JSON.parse(readFileSync(join(import.meta.dirname, "../test/fixtures/retrieval/issues.json"), "utf8")) as Issue[]
).filter((issue) => final || !issue.finalOnly);
const root = execFileSync("python3", ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], {
  encoding: "utf8",
}).trim();
const OUTSIDE = /(^|\/)(site-packages|dist-packages|__pycache__|test|tests|idle_test|lib2to3\/tests)(\/|$)/;

const syntax = await createSyntax();
const files: SourceFile[] = readdirSync(root, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".py") && !OUTSIDE.test(path))
  .sort()
  .map((path) => {
    const { text } = decodeSource(readFileSync(join(root, path)));
    return { path, text, outline: syntax.outline(text, "python") };
  });

const pool = files.flatMap(({ path, text, outline }) =>
  outline.definitions.map((definition) => ({
    path,
    name: definition.name,
    text: `${path} ${definition.name} ${text.slice(definition.span.start, definition.span.end)}`,
  })),
);
const holders = new Map<string, number>();
const bags = pool.map(({ text }) => bag(text));
for (const counts of bags) for (const word of counts.keys()) holders.set(word, (holders.get(word) ?? 0) + 1);
const weight = (word: string, count: number) =>
  (1 + Math.log(count)) * Math.log(pool.length / (holders.get(word) ?? pool.length));
const norms = bags.map((counts) => Math.hypot(...[...counts].map(([word, count]) => weight(word, count))) || 1);

function bag(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** Indices of the pool, best first. */
function plain(text: string): number[] {
  const query = bag(text);
  const scores = bags.map((counts, i) => {
    let dot = 0;
    for (const [word, count] of query)
      if (counts.has(word)) dot += weight(word, count) * weight(word, counts.get(word)!);
    return dot / norms[i]!;
  });
  return scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
}

const CUTS = [1, 5, 10];
const report: Record<string, number[]> = { locate: [], plain: [] };
for (const issue of issues) {
  const wanted = (one: { path: string; name: string }) => one.path === issue.path && one.name === issue.name;
  const ours = locate(files, issue).located.findIndex(wanted) + 1;
  const theirs = plain(`${issue.title} ${issue.body}`).findIndex((i) => wanted(pool[i]!)) + 1;
  report["locate"]!.push(ours);
  report["plain"]!.push(theirs);
  if (!issue.finalOnly) console.error(`${String(ours).padStart(5)} ${String(theirs).padStart(5)}  ${issue.name}`);
}
console.log(`${issues.length} issues, ${pool.length} functions in ${files.length} files`);
for (const [name, ranks] of Object.entries(report)) {
  const figures = CUTS.map((cut) => {
    const found = ranks.filter((rank) => rank > 0 && rank <= cut).length;
    return `recall@${cut} ${(found / ranks.length).toFixed(2)} (${found})`;
  });
  console.log(`${name.padEnd(7)} ${figures.join("  ")}`);
}
