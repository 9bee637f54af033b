/** Recall of finding relevant code: issue texts of our own about functions of the Python standard library (test/ left out). */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { createSyntax } from "../src/adapters/tree-sitter/create-syntax.ts";
import { locate, type SourceFile } from "../src/domain/relevance.ts";
import { decodeSource } from "../src/domain/segment.ts";

const issues = JSON.parse(readFileSync(new URL("../test/fixtures/retrieval/issues.json", import.meta.url), "utf8")) as {
  path: string;
  name: string;
  title: string;
  body: string;
}[];
const root = execFileSync("/usr/bin/python3", ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], {
  encoding: "utf8",
}).trim();
const syntax = await createSyntax();
const files: SourceFile[] = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter(
    (path) =>
      path.endsWith(".py") &&
      !/(^|\/)(test|tests|idlelib|lib2to3|site-packages|dist-packages|ensurepip|turtledemo)\//.test(path),
  )
  .sort()
  .map((path) => {
    const { text } = decodeSource(readFileSync(join(root, path)));
    return { path: relative(root, join(root, path)), text, outline: syntax.outline(text, "python") };
  });
const functions = files.reduce((sum, file) => sum + file.outline.definitions.length, 0);
const verbose = process.argv.includes("--verbose");
const places = issues.map((issue) => {
  const { located } = locate(files, issue);
  const place = located.findIndex((one) => one.path === issue.path && one.name === issue.name) + 1;
  if (verbose)
    console.error(
      place,
      issue.path,
      issue.name,
      located
        .slice(0, 3)
        .map((one) => `${one.path}:${one.name}`)
        .join(" "),
    );
  return place;
});
const recall = (k: number) => places.filter((place) => place >= 1 && place <= k).length;
/** Wilson 95 % interval of a share. */
function wilson(hits: number, n: number): [number, number] {
  const z = 1.96;
  const p = hits / n;
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Number((middle - half).toFixed(3)), Number((middle + half).toFixed(3))];
}
const unnamed = issues
  .map((issue, i) => ({
    place: places[i]!,
    named: `${issue.title} ${issue.body}`.includes(issue.name.split(".").at(-1)!),
  }))
  .filter((one) => !one.named);
console.log(
  JSON.stringify({
    functions,
    issues: issues.length,
    recallAt1: recall(1) / issues.length,
    recallAt5: recall(5) / issues.length,
    recallAt10: { value: Number((recall(10) / issues.length).toFixed(3)), ci: wilson(recall(10), issues.length) },
    withoutTheName: {
      issues: unnamed.length,
      recallAt10: Number(
        (unnamed.filter((one) => one.place >= 1 && one.place <= 10).length / unnamed.length).toFixed(3),
      ),
    },
  }),
);
