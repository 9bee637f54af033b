/**
 * Segmentation held against Python itself on the machine's standard library: the oracle is made by `python3` on the spot.
 * By default every 8th file; all of them with FUNPRM_LONG=1.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { loadNativeParser } from "../../src/adapters/tree-sitter/native-parser.ts";
import { decodeSource, encodeSource, segment } from "../../src/domain/segment.ts";

const long = process.env["FUNPRM_LONG"] !== undefined;
const python = (args: string[], input = "") =>
  execFileSync("python3", args, { input, encoding: "utf8", maxBuffer: 1 << 29, stdio: ["pipe", "pipe", "ignore"] });

type Oracle = {
  path: string;
  error?: string;
  comments: number | null;
  definitions: [
    name: string,
    start: number,
    end: number,
    method: boolean,
    doc: boolean,
    nested: number,
    calls: string[],
  ][];
};

const LIST = `
import os, sysconfig
root = sysconfig.get_path("stdlib")
print(root)
for folder, folders, names in os.walk(root):
    folders[:] = sorted(f for f in folders if f not in ("site-packages", "dist-packages", "__pycache__"))
    for name in sorted(names):
        if name.endswith(".py"):
            print(os.path.join(folder, name))
`;
const [root, ...everything] = python(["-c", LIST]).trim().split("\n") as [string, ...string[]];
const files = long ? everything : everything.filter((_, i) => i % 8 === 0);
const syntax = await createSyntax();
const web = await createSyntax({ native: false });
const short = (path: string) => relative(root, path);

describe(`${files.length} files of the standard library`, () => {
  const oracle = new Map<string, Oracle>();
  beforeAll(() => {
    const script = join(import.meta.dirname, "../fixtures/segment/oracle.py");
    for (const line of python([script], `${files.join("\n")}\n`)
      .trim()
      .split("\n")) {
      const row = JSON.parse(line) as Oracle;
      oracle.set(row.path, row);
    }
  });

  it("slices joined equal the file byte for byte; names and lines are those of ast; both parsers agree", () => {
    const wrong: string[] = [];
    const callsDiffer: string[] = [];
    let parsedByAst = 0;
    let functions = 0;
    for (const path of files) {
      const bytes = readFileSync(path);
      const source = decodeSource(bytes);
      const outline = syntax.outline(source.text, "python");
      if (loadNativeParser() !== null) expect(web.outline(source.text, "python"), short(path)).toEqual(outline);
      const { steps } = segment(source, outline, null);
      expect(Buffer.concat(steps.map((s) => bytes.subarray(s.startByte, s.endByte))).equals(bytes), short(path)).toBe(
        true,
      );
      expect(Buffer.from(encodeSource(steps.map((s) => s.source).join(""), source.encoding)).equals(bytes)).toBe(true);
      const truth = oracle.get(path)!;
      if (truth.error !== undefined) continue;
      parsedByAst += 1;
      functions += truth.definitions.length;
      const mine = outline.definitions.map((d) => [d.name, d.startLine, d.endLine]);
      if (JSON.stringify(mine) !== JSON.stringify(truth.definitions.map((d) => d.slice(0, 3)))) {
        wrong.push(short(path));
        continue;
      }
      for (const [i, definition] of outline.definitions.entries()) {
        const [name, , , method, doc, nested, calls] = truth.definitions[i]!;
        expect(
          [definition.kind === "method", definition.docstring !== null, definition.nested],
          `${short(path)} ${name}`,
        ).toEqual([method, doc, nested]);
        if ([...definition.calls].sort().join() !== calls.sort().join()) callsDiffer.push(`${short(path)} ${name}`);
      }
      if (truth.comments !== null) expect(outline.comments.length, short(path)).toBe(truth.comments);
    }
    console.log(
      `${parsedByAst - wrong.length} of ${parsedByAst} files, ${functions} functions equal to ast; not equal: ${wrong.join(", ") || "none"}`,
    );
    expect(wrong.length / parsedByAst).toBeLessThanOrEqual(0.002);
    // Patterns of `case` look like calls, and a call whose bracket opens on the next line does not.
    expect(callsDiffer.length / functions).toBeLessThan(0.001);
  });

  it("a file cut at any two bytes throws nothing and loses nothing", () => {
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const small = everything
      .filter((_, i) => i % 5 === 0)
      .map((path) => readFileSync(path))
      .filter((bytes) => bytes.length < 60_000);
    for (let i = 0; i < (long ? 10_000 : 300); i++) {
      const whole = small[random(small.length)]!;
      const [a, b] = [random(whole.length + 1), random(whole.length + 1)];
      // The piece between the cuts, or what is left around it.
      const bytes =
        i % 2 === 0
          ? whole.subarray(Math.min(a, b), Math.max(a, b))
          : Buffer.concat([whole.subarray(0, Math.min(a, b)), whole.subarray(Math.max(a, b))]);
      const source = decodeSource(bytes);
      const { steps } = segment(source, (i % 4 < 2 ? syntax : web).outline(source.text, "python"), null);
      expect(Buffer.concat(steps.map((s) => bytes.subarray(s.startByte, s.endByte))).equals(bytes)).toBe(true);
    }
  });
});
