/**
 * G11: throughput of parse + split ÷ throughput of the bare parse, on the machine's Python standard library. A and B are
 * interleaved round by round after the slices were seen to equal the files; CPU time, median of the rounds' ratios. JSON on
 * stdout.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadNativeParser } from "../src/adapters/tree-sitter/native-parser.ts";
import type { Parse } from "../src/adapters/tree-sitter/parse.ts";
import { outlinePython } from "../src/adapters/tree-sitter/python-outline.ts";
import { createWebParser } from "../src/adapters/tree-sitter/web-parser.ts";
import { decodeSource, segment } from "../src/domain/segment.ts";

const ROUNDS = 9;

const root = execFileSync("python3", ["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"], {
  encoding: "utf8",
}).trim();
const files = readdirSync(root)
  .filter((name) => name.endsWith(".py"))
  .sort()
  .map((name) => decodeSource(readFileSync(join(root, name))));
const bytes = files.reduce((sum, file) => sum + file.bytes, 0);

function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const used = process.cpuUsage(before);
  return (used.user + used.system) / 1000;
}

function measure(parse: Parse) {
  const bare = () => {
    for (const file of files) parse(file.text, () => {});
  };
  const split = () => {
    for (const file of files) segment(file, outlinePython(file.text, parse), null);
  };
  for (const file of files) {
    const { steps } = segment(file, outlinePython(file.text, parse), null);
    if (steps.map((step) => step.source).join("") !== file.text) throw new Error("the slices joined are not the file");
  }
  const rounds = Array.from({ length: ROUNDS }, () => {
    const parseMs = cpuMs(bare);
    const splitMs = cpuMs(split);
    return { parseMs, splitMs, ratio: parseMs / splitMs };
  }).sort((a, b) => a.ratio - b.ratio);
  const middle = rounds[ROUNDS >> 1]!;
  return {
    ratio: middle.ratio,
    spread: [rounds[0]!.ratio, rounds[ROUNDS - 1]!.ratio],
    parseMBps: bytes / 1e3 / middle.parseMs,
    splitMBps: bytes / 1e3 / middle.splitMs,
  };
}

const native = loadNativeParser();
console.log(
  JSON.stringify({
    files: files.length,
    bytes,
    web: measure(await createWebParser()),
    native: native === null ? null : measure(native),
  }),
);
