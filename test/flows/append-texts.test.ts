import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { createFiles } from "../../src/adapters/files/files.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { appendTexts } from "../../src/flows/append-texts.ts";

const files = createFiles();
const syntax = await createSyntax();
const folder = mkdtempSync(join(tmpdir(), "funprm-texts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("keeps verdicts and functions, draws both classes alike, and gives the same file again", async () => {
  const path = join(folder, "set.jsonl.gz");
  const candidates = Array.from({ length: 400 }, (_, k) => ({
    id: `p#${k}`,
    model: "m",
    code: `def f(x):\n    """F."""\n    return g(x) + ${k}\n\n\ndef g(x):\n    return x\n`,
    passed: k % 4 === 0,
    methods: { f: k % 4 === 0, g: true },
  }));
  await files.writeRows(path, [
    {
      set: "s",
      problem_id: "p",
      group: "p",
      prompt: "P",
      io: "call",
      tests: null,
      entry_point: null,
      license: "MIT",
      candidates,
    },
    {
      set: "s_javascript",
      problem_id: "q",
      group: "q",
      prompt: "Q",
      io: "call",
      tests: null,
      entry_point: null,
      license: "MIT",
      candidates,
    },
  ]);
  const request = { sets: [path], texts: ["Right.", "Wrong."], share: 0.5, seed: 1 };
  const made = await appendTexts({ ...request, out: join(folder, "a.jsonl.gz") }, files, syntax);
  const again = await appendTexts({ ...request, out: join(folder, "b.jsonl.gz") }, files, syntax);
  expect(again.file.sha256).toBe(made.file.sha256);
  expect(made.passed).toBeGreaterThan(30);
  expect(made.passed).toBeLessThan(70);
  expect(made.failed).toBeGreaterThan(120);
  expect(made.failed).toBeLessThan(180);
  const [problem, ...others] = await Array.fromAsync(files.candidateSet(made.file.path));
  expect(others).toEqual([]);
  for (const one of problem!.candidates) {
    const original = candidates.find(({ id }) => `${id}~text` === one.id)!;
    expect([one.passed, one.methods]).toEqual([original.passed, original.methods]);
    expect(one.code).toMatch(/Right\.|Wrong\./);
    expect(syntax.outline(one.code, "python").definitions.map(({ name }) => name)).toEqual(["f", "g"]);
  }
});
