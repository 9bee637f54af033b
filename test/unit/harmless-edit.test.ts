/** What stands beside a bug in the history replay is harmless: Python compiles it to the same instructions. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { harmlessEdits } from "../../bench/harmless-edit.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";

const CHECK = `
import json, sys, types
def codes(text):
    def walk(code):
        yield code.co_code
        for const in code.co_consts:
            if isinstance(const, types.CodeType):
                yield from walk(const)
    return list(walk(compile(text, "m", "exec")))
same = {"rename": lambda a, b: codes(a) == codes(b), "brackets": lambda a, b: codes(a) == codes(b),
        "return": lambda a, b: len(codes(a)) == len(codes(b))}
print(json.dumps([[e["kind"], e["name"]] for e in json.load(sys.stdin) if not same[e["kind"]](e["before"], e["after"])]))
`;

it("renamed locals and bracketed conditions compile to the same code, a named result to the same functions", async () => {
  const syntax = await createSyntax();
  const edits = ["textwrap", "shlex", "bisect", "glob", "heapq"].flatMap((module) => {
    const before = readFileSync(`/usr/lib/python3.11/${module}.py`, "utf8");
    return syntax
      .outline(before, "python")
      .definitions.flatMap((one) =>
        harmlessEdits(before, one)
          .slice(0, 3)
          .map((edit) => ({ ...edit, name: one.name })),
      )
      .map(({ kind, text, name }) => ({ kind, name: `${module}.${name}`, before, after: text }));
  });
  expect(new Set(edits.map((one) => one.kind))).toEqual(new Set(["rename", "brackets", "return"]));
  const checked = spawnSync("/usr/bin/python3", ["-I", "-c", CHECK], {
    input: JSON.stringify(edits),
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  expect(checked.stderr).toBe("");
  expect(JSON.parse(checked.stdout)).toEqual([]);
  expect(edits.length).toBeGreaterThan(40);
});
