/** Random edits of library files: GitHub's rule, as the fake applies it, takes every anchor; every changed function has one place. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { parseHunks } from "../../src/domain/hunks.ts";
import { reversePatch } from "../../src/domain/reverse-patch.ts";
import type { ReviewedFunction } from "../../src/domain/review.ts";
import { inlineComments } from "../../src/domain/review-inline.ts";
import { checkAnchor } from "../../src/fake-github/anchors.ts";
import { reviewChange } from "../../src/flows/review-change.ts";
import type { Syntax } from "../../src/ports.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

let syntax: Syntax;
const folder = mkdtempSync(join(tmpdir(), "funprm-anchors-"));
beforeAll(async () => {
  syntax = await createSyntax();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const LIBRARY = ["textwrap", "bisect", "heapq", "shlex", "fnmatch", "csv", "dataclasses", "argparse"].map((name) =>
  readFileSync(`/usr/lib/python3.11/${name}.py`, "utf8"),
);
const RUNS = process.env["FUNPRM_LONG"] === undefined ? 40 : 400;

/** The patch as GitHub gives it: git's, from the first hunk on; null when nothing differs. */
function patchOf(before: string, after: string): string | null {
  writeFileSync(join(folder, "a.py"), before);
  writeFileSync(join(folder, "b.py"), after);
  const { stdout } = spawnSync("git", ["diff", "--no-index", "--no-color", "a.py", "b.py"], {
    cwd: folder,
    encoding: "utf8",
  });
  const from = stdout.indexOf("\n@@");
  return from < 0 ? null : stdout.slice(from + 1).replace(/\n$/, "");
}

function edited(source: string, edits: readonly { at: number; kind: string }[]): string {
  const lines = source.split("\n");
  for (const { at, kind } of edits) {
    const line = at % lines.length;
    const indent = /^\s*/.exec(lines[line]!)![0];
    if (kind === "delete") lines.splice(line, 1);
    else if (kind === "cut") lines.splice(line, 25);
    else if (kind === "double") lines.splice(line, 0, lines[line]!);
    else if (kind === "change") lines[line] = lines[line]!.replace(/(\w)$/, "$1_");
    else if (kind === "new") lines.splice(line, 0, "", "def fresh(x):", "    return x", "");
    else if (kind === "end") lines.pop();
    else lines.splice(line, 0, `${indent}# note`);
  }
  return lines.join("\n");
}

test("no anchor is refused, every function that the diff shows has one, every one is accounted for once", async () => {
  const kinds = fc.constantFrom("delete", "cut", "double", "change", "new", "comment", "end");
  let anchors = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(LIBRARY.length - 1),
      fc.array(fc.record({ at: fc.nat(), kind: kinds }), { minLength: 1, maxLength: 8 }),
      async (index, edits) => {
        const before = LIBRARY[index]!;
        const after = edited(before, edits);
        const patch = patchOf(before, after);
        if (patch === null) return;
        expect(reversePatch(after, patch)).toBe(before);
        const report = await reviewChange(
          { syntax, model: createFakeRewardModel() },
          {
            statement: "",
            files: [
              {
                path: "m.py",
                previousPath: null,
                before: Buffer.from(before),
                after: Buffer.from(after),
                unreadable: null,
              },
            ],
            ignored: () => false,
            calibration: null,
          },
        );
        const here = report.functions.filter((one) => one.change !== "deleted");
        expect(report.coverage.inScope).toBe(report.coverage.scored + report.coverage.notScored.length);
        const keyOf = (one: ReviewedFunction) => `${one.name}:${one.startLine}`;
        expect(new Set(here.map(keyOf)).size).toBe(here.length);
        for (const one of here) {
          const [comment] = inlineComments([one], new Map([["m.py", patch]]), () => ({ setting: "", most: 1 }));
          if (comment === undefined) {
            // A function that ends before the lines that were taken from it has no line in the diff: an annotation.
            const shown = parseHunks(patch).some((hunk) => hunk.start <= one.endLine && hunk.end >= one.startLine);
            expect(shown, `${keyOf(one)} in\n${patch}`).toBe(false);
            continue;
          }
          const { startLine, line } = comment;
          const start = startLine === null ? {} : { start_line: startLine, start_side: "RIGHT" as const };
          const verdict = checkAnchor({ path: "m.py", line, side: "RIGHT", ...start }, new Map([["m.py", patch]]));
          expect("refused" in verdict ? verdict.refused : "taken").toBe("taken");
          expect((startLine ?? line) >= one.startLine && line <= one.endLine).toBe(true);
          anchors += 1;
        }
      },
    ),
    { numRuns: RUNS },
  );
  expect(anchors).toBeGreaterThan(RUNS);
}, 300_000);
